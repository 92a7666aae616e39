from importlib import import_module

Migration = import_module('patients.changing.0003_phone').Migration
