from django.db import IntegrityError, transaction
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.views import APIView

from .models import Appointment, Patient
from .serializers import AppointmentSerializer, PatientSerializer


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_detail = 'This contradicts what is there.'
    default_code = 'conflict'


class PatientViewSet(viewsets.ModelViewSet):
    queryset = Patient.objects.order_by('id')
    serializer_class = PatientSerializer


class FamilyView(APIView):
    """Several patients at once, all of them or none."""

    def post(self, request):
        serializer = PatientSerializer(data=request.data, many=True)
        serializer.is_valid(raise_exception=True)
        try:
            with transaction.atomic():
                serializer.save()
        except IntegrityError as error:
            raise Conflict from error
        return Response(serializer.data, status.HTTP_201_CREATED)


class AppointmentViewSet(viewsets.ModelViewSet):
    queryset = Appointment.objects.order_by('id')
    serializer_class = AppointmentSerializer

    @action(detail=True, methods=['post'])
    @transaction.atomic
    def rebook(self, request, pk=None):
        """Cancels this one and books another, or does neither."""
        appointment = self.get_object()
        appointment.status = Appointment.Status.CANCELLED
        appointment.save(update_fields=['status'])
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response(serializer.data, status.HTTP_201_CREATED)
