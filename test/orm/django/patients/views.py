from rest_framework import viewsets

from .models import Appointment, Patient
from .serializers import AppointmentSerializer, PatientSerializer


class PatientViewSet(viewsets.ModelViewSet):
    queryset = Patient.objects.order_by('id')
    serializer_class = PatientSerializer


class AppointmentViewSet(viewsets.ModelViewSet):
    queryset = Appointment.objects.order_by('id')
    serializer_class = AppointmentSerializer
