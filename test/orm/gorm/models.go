package main

import "gorm.io/gorm"

type Patient struct {
	ID           int64
	Name         string        `gorm:"not null"`
	Email        *string       `gorm:"uniqueIndex"`
	Version      int32         `gorm:"not null;default:1"`
	Appointments []Appointment `gorm:"constraint:OnDelete:CASCADE"`
}

type Appointment struct {
	ID        int64
	PatientID int64  `gorm:"not null"`
	Status    string `gorm:"not null"`
	Version   int32  `gorm:"not null;default:1"`
}

// migrate makes the tables. AutoMigrate knows no deferrable constraints.
func migrate(db *gorm.DB) error {
	if err := db.AutoMigrate(&Patient{}, &Appointment{}); err != nil {
		return err
	}
	return db.Exec("ALTER TABLE appointments ALTER CONSTRAINT " +
		"fk_patients_appointments DEFERRABLE INITIALLY DEFERRED").Error
}
