package main

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"time"

	"github.com/hallgren/eventsourcing/core"
	_ "modernc.org/sqlite" // the driver
)

// sqliteStore is the second durable store for hallgren/eventsourcing: the same
// table and transaction as its own adapter's with one writer at a time, and
// statements that are prepared once.
type sqliteStore struct {
	db, reads             *sql.DB // one connection that writes, and those that read beside it
	mu                    sync.Mutex
	version, insert, read *sql.Stmt
}

func openSQLite(path string) (*sqliteStore, error) {
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
	if err != nil {
		return nil, err
	}
	reads, err := sql.Open("sqlite", path)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &sqliteStore{db: db, reads: reads}
	db.SetMaxOpenConns(1) // the one that PRAGMA is said to
	reads.SetMaxIdleConns(16)
	_, err = db.Exec(`CREATE TABLE events (seq INTEGER PRIMARY KEY AUTOINCREMENT, id VARCHAR NOT NULL, version INTEGER,
		reason VARCHAR, type VARCHAR, timestamp INTEGER, data BLOB, metadata BLOB, UNIQUE (id, type, version))`)
	prepare := func(db *sql.DB, query string) (stmt *sql.Stmt) {
		if err == nil {
			stmt, err = db.Prepare(query)
		}
		return stmt
	}
	s.version = prepare(db, `SELECT version FROM events WHERE id=? AND type=? ORDER BY version DESC LIMIT 1`)
	s.insert = prepare(db, `INSERT INTO events (id, version, reason, type, timestamp, data, metadata) VALUES (?, ?, ?, ?, ?, ?, ?)`)
	s.read = prepare(reads, `SELECT seq, version, reason, timestamp, data, metadata FROM events WHERE id=? AND type=? AND version>? ORDER BY version`)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *sqliteStore) close() error { return errors.Join(s.db.Close(), s.reads.Close()) }

// durable makes every further transaction wait for the disk.
func (s *sqliteStore) durable() error {
	_, err := s.db.Exec(`PRAGMA wal_checkpoint(TRUNCATE); PRAGMA synchronous=FULL`)
	if err != nil {
		return err
	}
	var level int
	if err := s.db.QueryRow(`PRAGMA synchronous`).Scan(&level); err != nil || level != 2 {
		return errors.Join(err, errors.New("SQLite does not sync"))
	}
	return nil
}

// Save implements [core.EventStore].
func (s *sqliteStore) Save(events []core.Event) error {
	if len(events) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var last core.Version
	err = tx.Stmt(s.version).QueryRow(events[0].AggregateID, events[0].AggregateType).Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if last+1 != events[0].Version {
		return core.ErrConcurrency
	}
	insert := tx.Stmt(s.insert)
	for i := range events {
		e := &events[i]
		r, err := insert.Exec(e.AggregateID, e.Version, e.Reason, e.AggregateType, e.Timestamp.UnixNano(), e.Data, e.Metadata)
		if err != nil {
			return err
		}
		seq, err := r.LastInsertId()
		if err != nil {
			return err
		}
		e.GlobalVersion = core.Version(seq)
	}
	return tx.Commit()
}

// Get implements [core.EventStore].
func (s *sqliteStore) Get(ctx context.Context, id, aggregateType string, after core.Version) (core.Iterator, error) {
	rows, err := s.read.QueryContext(ctx, id, aggregateType, after)
	if err != nil {
		return nil, err
	}
	return &sqliteRows{rows, core.Event{AggregateID: id, AggregateType: aggregateType}}, nil
}

type sqliteRows struct {
	*sql.Rows
	of core.Event
}

func (r *sqliteRows) Value() (core.Event, error) {
	e := r.of
	var nanos int64
	err := r.Scan(&e.GlobalVersion, &e.Version, &e.Reason, &nanos, &e.Data, &e.Metadata)
	e.Timestamp = time.Unix(0, nanos)
	return e, err
}

func (r *sqliteRows) Close() { _ = r.Rows.Close() }
