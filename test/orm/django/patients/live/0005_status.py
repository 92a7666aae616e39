from importlib import import_module

Migration = import_module('patients.changing.0005_status').Migration
