/** The raw driver: better-sqlite3 with prepared statements, the pragmas of `Sqlite.layer`, and our table. */
import Database from "better-sqlite3"

export const openRaw = (filename: string, synchronous: "NORMAL" | "FULL") => {
  const db = new Database(filename)
  db.pragma("auto_vacuum = INCREMENTAL")
  db.pragma("journal_mode = WAL")
  db.pragma(`synchronous = ${synchronous}`)
  const table = (name: string) => {
    db.exec(`CREATE TABLE ${name} (key TEXT NOT NULL PRIMARY KEY, expires_at INTEGER, value ANY NOT NULL) STRICT`)
    return {
      get: db.prepare<[string, number], { readonly value: string }>(
        `SELECT value FROM ${name} WHERE key = ? AND (expires_at IS NULL OR expires_at > ?)`
      ),
      scan: db.prepare<[number], { readonly key: string; readonly value: string }>(
        `SELECT key, value FROM ${name} WHERE expires_at IS NULL OR expires_at > ? ORDER BY key`
      ),
      set: db.prepare<[string, null, string | Buffer]>(
        `INSERT INTO ${name} (key, expires_at, value) VALUES (?, ?, ?)
         ON CONFLICT (key) DO UPDATE SET expires_at = excluded.expires_at, value = excluded.value`
      )
    }
  }
  return { db, table }
}
