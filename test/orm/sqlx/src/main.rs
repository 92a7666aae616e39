//! The clinic with sqlx: patients and their appointments.
//!
//! `clinic version | migrate | run`. The database is that of the PG* variables.

mod clinic;
mod steps;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::PgPool;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Opens the database under an application name.
async fn connect(application_name: &str) -> Result<PgPool> {
    let options = PgConnectOptions::new().application_name(application_name);
    Ok(PgPoolOptions::new()
        .max_connections(10)
        .connect_with(options)
        .await?)
}

async fn migrate() -> Result<()> {
    let db = connect("migrate").await?;
    sqlx::migrate!().run(&db).await?;
    db.close().await;
    Ok(())
}

async fn run() -> Result<()> {
    for name in steps::ALL {
        println!("step {name}");
        let db = connect(name).await?;
        steps::run(name, &db)
            .await
            .map_err(|error| format!("{name}: {error}"))?;
        db.close().await;
    }
    Ok(())
}

/// The version of a package in the lock file.
fn locked(package: &str) -> &'static str {
    include_str!("../Cargo.lock")
        .split("[[package]]")
        .find_map(|entry| {
            entry
                .trim_start()
                .strip_prefix(&format!("name = \"{package}\"\nversion = \""))
        })
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("?")
}

#[tokio::main]
async fn main() -> Result<()> {
    let command = std::env::args().nth(1).unwrap_or_default();
    match command.as_str() {
        "version" => {
            println!(
                "sqlx {}, tokio {}, {}",
                locked("sqlx"),
                locked("tokio"),
                env!("RUSTC_VERSION")
            );
            Ok(())
        }
        "migrate" => migrate().await,
        "run" => run().await,
        _ => Err("usage: clinic version | migrate | run".into()),
    }
}
