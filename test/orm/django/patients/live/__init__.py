"""Migrations that test/orm/http_migrations runs, both ways, while the API serves.

The program that serves knows the models of 0001 only: each of these leaves a
database that it can work with.
"""
