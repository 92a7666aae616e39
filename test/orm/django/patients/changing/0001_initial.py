from importlib import import_module

Migration = import_module('patients.migrations.0001_initial').Migration
