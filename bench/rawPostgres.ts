/** The raw driver: a pool of pg, a table like ours, and statements as one would write them by hand. */
import { createRequire } from "node:module"
import { text } from "./values.js"

interface Client {
  readonly query: (
    text: string,
    params?: ReadonlyArray<unknown>
  ) => Promise<{ readonly rowCount: number | null; readonly rows: ReadonlyArray<Readonly<Record<string, unknown>>> }>
}

interface Pool extends Client {
  readonly connect: () => Promise<Client & { readonly release: (destroy?: boolean) => void }>
  readonly end: () => Promise<void>
}

interface Pg {
  readonly Pool: new(options: { readonly connectionString: string; readonly max: number }) => Pool
}

// It comes with our client, of which it is the driver, and has no types.
const pg = createRequire(import.meta.resolve("@effect/sql-pg/PgClient"))("pg") as Pg

const live = "(expires_at IS NULL OR expires_at > $2)"
const conflict = "ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at"
const upsert = `INSERT INTO raw (key, value, expires_at) VALUES ($1, $2, $3) ${conflict}`
const unnest = (table: string) =>
  `INSERT INTO ${table} (key, value, expires_at) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]) ${conflict}`
const valuesOf = (rows: number) =>
  `INSERT INTO raw (key, value, expires_at) VALUES ${
    Array.from({ length: rows }, (_, i) => `($${3 * i + 1}, $${3 * i + 2}, $${3 * i + 3})`).join(", ")
  } ${conflict}`

export const openRawPostgres = async (url: string, connections: number) => {
  const pool = new pg.Pool({ connectionString: url, max: connections })
  for (const table of ["raw", "swept"]) {
    await pool.query(`CREATE TABLE ${table} (key TEXT COLLATE "C" PRIMARY KEY, value TEXT NOT NULL, expires_at BIGINT)`)
  }
  await pool.query("CREATE INDEX swept_expires_at ON swept (expires_at) WHERE expires_at IS NOT NULL")

  const transaction = async <A>(begin: string, body: (client: Client) => Promise<A>): Promise<A> => {
    const client = await pool.connect()
    try {
      await client.query(begin)
      const result = await body(client)
      await client.query("COMMIT")
      client.release()
      return result
    } catch (error) {
      client.release(true)
      throw error
    }
  }
  const setIn = (client: Client, key: string, value: string) => client.query(upsert, [key, value, null])
  const byValues = new Map<number, string>()

  return {
    close: () => pool.end(),
    /** Those that are to be swept; they expired at the times given. */
    expire: (entries: ReadonlyArray<{ readonly key: string; readonly expiresAt: number }>) =>
      pool.query(unnest("swept"), [
        entries.map(({ key }) => key),
        entries.map(text),
        entries.map(({ expiresAt }) => expiresAt)
      ]),
    get: async (key: string) => {
      const { rows } = await pool.query(`SELECT value FROM raw WHERE key = $1 AND ${live}`, [key, Date.now()])
      return rows[0]?.value
    },
    getMany: async (keys: ReadonlyArray<string>) => {
      const { rows } = await pool.query(`SELECT key, value FROM raw WHERE key = ANY($1) AND ${live}`, [
        keys,
        Date.now()
      ])
      return rows
    },
    increment: (key: string) =>
      transaction("BEGIN", async (client) => {
        const { rows } = await client.query(`SELECT value FROM raw WHERE key = $1 AND ${live} FOR UPDATE`, [
          key,
          Date.now()
        ])
        const next = Number(rows[0]?.value) + 1
        await client.query("UPDATE raw SET value = $2 WHERE key = $1", [key, String(next)])
        return next
      }),
    set: (key: string, value: string) => setIn(pool, key, value),
    setManyByUnnest: (keys: ReadonlyArray<string>) =>
      pool.query(unnest("raw"), [keys, keys.map(text), keys.map(() => null)]),
    setManyByValues: (keys: ReadonlyArray<string>) => {
      const statement = byValues.get(keys.length) ?? valuesOf(keys.length)
      byValues.set(keys.length, statement)
      return pool.query(statement, keys.flatMap((key) => [key, text(), null]))
    },
    setTwo: (begin: string, keys: readonly [string, string]) =>
      transaction(begin, async (client) => {
        await setIn(client, keys[0], text())
        await setIn(client, keys[1], text())
      }),
    /** What autovacuum would do at a time of its own, to all tables of the schema: ours, too. */
    settle: async () => {
      const { rows } = await pool.query(
        "SELECT format('VACUUM (ANALYZE) %I', tablename) AS vacuum FROM pg_tables WHERE schemaname = current_schema()"
      )
      for (const { vacuum } of rows) await pool.query(String(vacuum))
    },
    sweep: async () => {
      const { rowCount } = await pool.query("DELETE FROM swept WHERE expires_at <= $1", [Date.now()])
      return rowCount ?? 0
    },
    sweepInSlices: async (limit: number) => {
      let removed = 0
      for (;;) {
        const { rowCount } = await pool.query(
          "WITH due AS (SELECT key FROM swept WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED) " +
            "DELETE FROM swept USING due WHERE swept.key = due.key",
          [Date.now(), limit]
        )
        removed += rowCount ?? 0
        if ((rowCount ?? 0) < limit) return removed
      }
    }
  }
}
