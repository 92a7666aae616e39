"""Migrations that test/orm/migrations runs under load, both ways."""
