from django.urls import include, path
from rest_framework.routers import DefaultRouter

from patients.views import AppointmentViewSet, FamilyView, PatientViewSet

router = DefaultRouter()
router.register('patients', PatientViewSet)
router.register('appointments', AppointmentViewSet)

urlpatterns = [
    path('api/v1/families/', FamilyView.as_view()),
    path('api/v1/', include(router.urls)),
]
