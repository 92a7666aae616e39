//! Patients and appointments in the database.

use crate::Result;
use sqlx::{PgExecutor, Postgres, QueryBuilder};

#[derive(sqlx::FromRow)]
pub struct Patient {
    pub id: i64,
    pub name: String,
    pub email: Option<String>,
}

pub struct NewPatient {
    pub name: String,
    pub email: String,
}

impl NewPatient {
    pub fn new(name: &str, email: &str) -> Self {
        NewPatient {
            name: name.to_owned(),
            email: format!("{email}@example.com"),
        }
    }

    pub async fn insert(&self, db: impl PgExecutor<'_>) -> Result<Patient> {
        let patient = sqlx::query_as(
            "INSERT INTO patients (name, email) VALUES ($1, $2) RETURNING id, name, email",
        )
        .bind(&self.name)
        .bind(&self.email)
        .fetch_one(db)
        .await?;
        Ok(patient)
    }
}

/// All in one statement; "suffix" comes after the rows.
pub async fn insert_all(
    patients: &[NewPatient],
    suffix: &str,
    db: impl PgExecutor<'_>,
) -> Result<u64> {
    let mut query = QueryBuilder::<Postgres>::new("INSERT INTO patients (name, email) ");
    query.push_values(patients, |mut row, patient| {
        row.push_bind(&patient.name).push_bind(&patient.email);
    });
    query.push(suffix);
    Ok(query.build().execute(db).await?.rows_affected())
}

pub async fn find_patient(email: &str, db: impl PgExecutor<'_>) -> Result<Patient> {
    let patient = sqlx::query_as("SELECT id, name, email FROM patients WHERE email = $1")
        .bind(email)
        .fetch_one(db)
        .await?;
    Ok(patient)
}

impl Patient {
    pub async fn update(&self, db: impl PgExecutor<'_>) -> Result<()> {
        sqlx::query("UPDATE patients SET name = $2, email = $3 WHERE id = $1")
            .bind(self.id)
            .bind(&self.name)
            .bind(&self.email)
            .execute(db)
            .await?;
        Ok(())
    }

    pub async fn delete(self, db: impl PgExecutor<'_>) -> Result<()> {
        sqlx::query("DELETE FROM patients WHERE id = $1")
            .bind(self.id)
            .execute(db)
            .await?;
        Ok(())
    }
}

/// Returns the appointment's id.
pub async fn book(patient_id: i64, db: impl PgExecutor<'_>) -> Result<i64> {
    let id = sqlx::query_scalar(
        "INSERT INTO appointments (patient_id, status) VALUES ($1, 'booked') RETURNING id",
    )
    .bind(patient_id)
    .fetch_one(db)
    .await?;
    Ok(id)
}

pub async fn set_status(id: i64, status: &str, db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query("UPDATE appointments SET status = $2 WHERE id = $1")
        .bind(id)
        .bind(status)
        .execute(db)
        .await?;
    Ok(())
}
