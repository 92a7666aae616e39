package main

import (
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

const bulk = 100

var steps = []struct {
	name string
	work func(*gorm.DB) error
}{
	{"create", create},
	{"bulk_create", bulkCreate},
	{"update_field", updateField},
	{"bulk_update", bulkUpdate},
	{"upsert", upsert},
	{"transition", transition},
	{"delete_cascade", deleteCascade},
	{"nested_rollback", nestedRollback},
	{"rollback", rollback},
	{"failed_commit", failedCommit},
	{"raw_sql", rawSQL},
	{"concurrent", concurrent},
	{"unicode", unicode},
	{"killed", killed},
}

// errUndo makes a transaction roll back.
var errUndo = errors.New("changed my mind")

func patient(name, email string) *Patient {
	email += "@example.com"
	return &Patient{Name: name, Email: &email}
}

func bulkEmail(i int) string {
	return fmt.Sprintf("bulk-%d", i)
}

func create(db *gorm.DB) error {
	return db.Create(patient("Ada Lovelace", "ada")).Error
}

func bulkCreate(db *gorm.DB) error {
	var patients []*Patient
	for i := 0; i < bulk; i++ {
		patients = append(patients, patient(fmt.Sprintf("Bulk %d", i), bulkEmail(i)))
	}
	return db.Create(patients).Error
}

func updateField(db *gorm.DB) error {
	var ada Patient
	if err := db.Where("email = ?", "ada@example.com").First(&ada).Error; err != nil {
		return err
	}
	return db.Model(&ada).Update("email", "countess@example.com").Error
}

func bulkUpdate(db *gorm.DB) error {
	result := db.Model(&Patient{}).Where("email LIKE ?", "bulk-%").
		Update("version", gorm.Expr("version + 1"))
	if result.Error == nil && result.RowsAffected != bulk {
		return fmt.Errorf("%d rows updated", result.RowsAffected)
	}
	return result.Error
}

// upsert: every second of the ten is there already.
func upsert(db *gorm.DB) error {
	var patients []*Patient
	for i := 0; i < 5; i++ {
		patients = append(patients,
			patient(fmt.Sprintf("Known %d", i), bulkEmail(i)),
			patient(fmt.Sprintf("New %d", i), fmt.Sprintf("upsert-%d", i)))
	}
	return db.Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "email"}},
		DoUpdates: clause.AssignmentColumns([]string{"name"}),
	}).Create(patients).Error
}

func withAppointments(p *Patient, n int) *Patient {
	for i := 0; i < n; i++ {
		p.Appointments = append(p.Appointments, Appointment{Status: "booked"})
	}
	return p
}

func transition(db *gorm.DB) error {
	p := withAppointments(patient("Grace Hopper", "grace"), 3)
	if err := db.Create(p).Error; err != nil {
		return err
	}
	if err := db.Model(&p.Appointments[0]).Update("status", "completed").Error; err != nil {
		return err
	}
	p.Appointments[1].Status = "cancelled"
	return db.Save(&p.Appointments[1]).Error
}

func deleteCascade(db *gorm.DB) error {
	p := withAppointments(patient("Alan Turing", "alan"), 2)
	if err := db.Create(p).Error; err != nil {
		return err
	}
	return db.Delete(p).Error
}

func nestedRollback(db *gorm.DB) error {
	return db.Transaction(func(outer *gorm.DB) error {
		if err := outer.Create(patient("Outer", "outer")).Error; err != nil {
			return err
		}
		err := outer.Transaction(func(inner *gorm.DB) error {
			if err := inner.Create(patient("Inner", "inner")).Error; err != nil {
				return err
			}
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			return fmt.Errorf("inner transaction: %v", err)
		}
		return nil
	})
}

func createSome(tx *gorm.DB, prefix string, n int) error {
	for i := 0; i < n; i++ {
		name := fmt.Sprintf("%s-%d", prefix, i)
		if err := tx.Create(patient(name, name)).Error; err != nil {
			return err
		}
	}
	return nil
}

func rollback(db *gorm.DB) error {
	err := db.Transaction(func(tx *gorm.DB) error {
		if err := createSome(tx, "rollback", 5); err != nil {
			return err
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		return fmt.Errorf("transaction: %v", err)
	}
	return nil
}

// failedCommit: the foreign key is checked at COMMIT.
func failedCommit(db *gorm.DB) error {
	tx := db.Begin()
	if err := tx.Create(patient("Nobody", "nobody")).Error; err != nil {
		return err
	}
	if err := tx.Create(&Appointment{PatientID: 1 << 40, Status: "booked"}).Error; err != nil {
		return err
	}
	var refused *pgconn.PgError
	if err := tx.Commit().Error; !errors.As(err, &refused) || refused.Code != "23503" {
		return fmt.Errorf("COMMIT: %v", err)
	}
	return nil
}

func rawSQL(db *gorm.DB) error {
	return db.Exec("INSERT INTO patients (name, email) VALUES (?, ?)",
		"Raw", "raw@example.com").Error
}

func concurrent(db *gorm.DB) error {
	var writers sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		writers.Add(1)
		go func(i int) {
			defer writers.Done()
			errs[i] = createSome(db, fmt.Sprintf("writer-%d", i), 25)
		}(i)
	}
	writers.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func unicode(db *gorm.DB) error {
	for i, name := range names {
		if err := db.Create(patient(name, fmt.Sprintf("unicode-%d", i))).Error; err != nil {
			return err
		}
	}
	return nil
}

// killed: an administrator ends the session in the middle of a transaction.
func killed(db *gorm.DB) error {
	tx := db.Begin()
	if err := createSome(tx, "killed", 3); err != nil {
		return err
	}
	var pid int32
	if err := tx.Raw("SELECT pg_backend_pid()").Scan(&pid).Error; err != nil {
		return err
	}
	var gone bool
	if err := db.Raw("SELECT pg_terminate_backend(?, 30000)", pid).Scan(&gone).Error; err != nil {
		return err
	}
	if !gone {
		return errors.New("the session has not ended")
	}
	if tx.Commit().Error == nil {
		return errors.New("COMMIT succeeded in a session that has ended")
	}
	return nil
}
