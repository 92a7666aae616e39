use crate::clinic::{book, find_patient, insert_all, set_status, NewPatient};
use crate::Result;
use sqlx::{Acquire, PgConnection, PgPool};

const BULK: usize = 100;

/// Names of many scripts, and what needs care in SQL or JSON.
const NAMES: [&str; 10] = [
    "Zoë Åström-Ñandú",
    "Иван Петрович",
    "山田 太郎",
    "김민준",
    "محمد عبد الله",
    "שרה כהן",
    "नीलम शर्मा",
    "นภา ศรีสุข",
    r#"Sinéad "Sin" O'Brien \ back\\slash"#,
    "Dr. 👩‍⚕️ 🏥\nsecond line\tand \u{2028} more",
];

pub const ALL: [&str; 14] = [
    "create",
    "bulk_create",
    "update_field",
    "bulk_update",
    "upsert",
    "transition",
    "delete_cascade",
    "nested_rollback",
    "rollback",
    "failed_commit",
    "raw_sql",
    "concurrent",
    "unicode",
    "killed",
];

pub async fn run(name: &str, db: &PgPool) -> Result<()> {
    match name {
        "create" => create(db).await,
        "bulk_create" => bulk_create(db).await,
        "update_field" => update_field(db).await,
        "bulk_update" => bulk_update(db).await,
        "upsert" => upsert(db).await,
        "transition" => transition(db).await,
        "delete_cascade" => delete_cascade(db).await,
        "nested_rollback" => nested_rollback(db).await,
        "rollback" => rollback(db).await,
        "failed_commit" => failed_commit(db).await,
        "raw_sql" => raw_sql(db).await,
        "concurrent" => concurrent(db).await,
        "unicode" => unicode(db).await,
        "killed" => killed(db).await,
        _ => Err("no such step".into()),
    }
}

async fn insert_some(db: &mut PgConnection, prefix: &str, count: usize) -> Result<()> {
    for i in 0..count {
        let patient = NewPatient::new(&format!("{prefix} {i}"), &format!("{prefix}-{i}"));
        patient.insert(&mut *db).await?;
    }
    Ok(())
}

async fn create(db: &PgPool) -> Result<()> {
    NewPatient::new("Ada Lovelace", "ada").insert(db).await?;
    Ok(())
}

async fn bulk_create(db: &PgPool) -> Result<()> {
    let patients: Vec<_> = (0..BULK)
        .map(|i| NewPatient::new(&format!("Bulk {i}"), &format!("bulk-{i}")))
        .collect();
    insert_all(&patients, "", db).await?;
    Ok(())
}

async fn update_field(db: &PgPool) -> Result<()> {
    let mut ada = find_patient("ada@example.com", db).await?;
    ada.email = Some("countess@example.com".to_owned());
    ada.update(db).await
}

async fn bulk_update(db: &PgPool) -> Result<()> {
    let done = sqlx::query("UPDATE patients SET version = version + 1 WHERE email LIKE 'bulk-%'")
        .execute(db)
        .await?;
    match done.rows_affected() {
        100 => Ok(()),
        other => Err(format!("{other} rows updated").into()),
    }
}

/// Every second of the ten is there already.
async fn upsert(db: &PgPool) -> Result<()> {
    let patients: Vec<_> = (0..5)
        .flat_map(|i| {
            [
                NewPatient::new(&format!("Known {i}"), &format!("bulk-{i}")),
                NewPatient::new(&format!("New {i}"), &format!("upsert-{i}")),
            ]
        })
        .collect();
    let or_update = " ON CONFLICT (email) DO UPDATE SET name = EXCLUDED.name";
    insert_all(&patients, or_update, db).await?;
    Ok(())
}

async fn transition(db: &PgPool) -> Result<()> {
    let grace = NewPatient::new("Grace Hopper", "grace").insert(db).await?;
    let mut booked = Vec::new();
    for _ in 0..3 {
        booked.push(book(grace.id, db).await?);
    }
    set_status(booked[0], "completed", db).await?;
    set_status(booked[1], "cancelled", db).await
}

async fn delete_cascade(db: &PgPool) -> Result<()> {
    let alan = NewPatient::new("Alan Turing", "alan").insert(db).await?;
    for _ in 0..2 {
        book(alan.id, db).await?;
    }
    alan.delete(db).await
}

async fn nested_rollback(db: &PgPool) -> Result<()> {
    let mut outer = db.begin().await?;
    NewPatient::new("Outer", "outer")
        .insert(&mut *outer)
        .await?;
    let mut inner = outer.begin().await?;
    NewPatient::new("Inner", "inner")
        .insert(&mut *inner)
        .await?;
    inner.rollback().await?;
    outer.commit().await?;
    Ok(())
}

async fn rollback(db: &PgPool) -> Result<()> {
    let mut transaction = db.begin().await?;
    insert_some(&mut transaction, "rollback", 5).await?;
    transaction.rollback().await?;
    Ok(())
}

/// The foreign key is checked at COMMIT.
async fn failed_commit(db: &PgPool) -> Result<()> {
    let mut transaction = db.begin().await?;
    NewPatient::new("Nobody", "nobody")
        .insert(&mut *transaction)
        .await?;
    book(1 << 40, &mut *transaction).await?;
    match transaction.commit().await {
        Err(sqlx::Error::Database(refused)) if refused.is_foreign_key_violation() => Ok(()),
        Err(other) => Err(other.into()),
        Ok(()) => Err("COMMIT succeeded without the patient".into()),
    }
}

async fn raw_sql(db: &PgPool) -> Result<()> {
    sqlx::raw_sql("INSERT INTO patients (name, email) VALUES ('Raw', 'raw@example.com')")
        .execute(db)
        .await?;
    Ok(())
}

async fn write(db: PgPool, writer: usize) -> Result<()> {
    for i in 0..25 {
        let mut transaction = db.begin().await?;
        NewPatient::new(
            &format!("Writer {writer} {i}"),
            &format!("writer-{writer}-{i}"),
        )
        .insert(&mut *transaction)
        .await?;
        transaction.commit().await?;
    }
    Ok(())
}

async fn concurrent(db: &PgPool) -> Result<()> {
    let writers: Vec<_> = (0..8)
        .map(|writer| tokio::spawn(write(db.clone(), writer)))
        .collect();
    for writer in writers {
        writer.await??;
    }
    Ok(())
}

async fn unicode(db: &PgPool) -> Result<()> {
    for (i, name) in NAMES.iter().enumerate() {
        NewPatient::new(name, &format!("unicode-{i}"))
            .insert(db)
            .await?;
    }
    Ok(())
}

/// An administrator ends the session in the middle of a transaction.
async fn killed(db: &PgPool) -> Result<()> {
    let mut transaction = db.begin().await?;
    insert_some(&mut transaction, "killed", 3).await?;
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut *transaction)
        .await?;
    let ended: bool = sqlx::query_scalar("SELECT pg_terminate_backend($1, 30000)")
        .bind(pid)
        .fetch_one(db)
        .await?;
    if !ended {
        return Err("the session has not ended".into());
    }
    match transaction.commit().await {
        Err(_) => Ok(()),
        Ok(()) => Err("COMMIT succeeded in a session that has ended".into()),
    }
}
