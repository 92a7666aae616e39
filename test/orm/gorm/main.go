// The clinic with GORM: patients and their appointments.
//
// clinic version | migrate | run. The database is that of the PG* variables.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// with opens the database under an application name, and closes it again.
func with(name string, work func(*gorm.DB) error) error {
	db, err := gorm.Open(postgres.Open("application_name="+name),
		&gorm.Config{Logger: logger.Default.LogMode(logger.Silent)})
	if err != nil {
		return err
	}
	pool, err := db.DB()
	if err != nil {
		return err
	}
	pool.SetMaxOpenConns(10)
	defer pool.Close()
	return work(db)
}

func run() error {
	for _, step := range steps {
		fmt.Println("step", step.name)
		if err := with(step.name, step.work); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

func moduleVersion(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == path {
			return strings.TrimPrefix(module.Version, "v")
		}
	}
	return "?"
}

func version() error {
	fmt.Printf("GORM %s, pgx %s, Go %s\n", moduleVersion("gorm.io/gorm"),
		moduleVersion("github.com/jackc/pgx/v5"),
		strings.TrimPrefix(runtime.Version(), "go"))
	return nil
}

func main() {
	command, err := "", error(nil)
	if len(os.Args) == 2 {
		command = os.Args[1]
	}
	switch command {
	case "version":
		err = version()
	case "migrate":
		err = with("migrate", migrate)
	case "run":
		err = run()
	default:
		err = fmt.Errorf("usage: clinic version | migrate | run")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
