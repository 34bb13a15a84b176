/**
 * The peers: keyv on SQLite, and lmdb. They are no dependencies of the library; `npm install --prefix bench` installs
 * them. Who is not installed is said, and left out.
 */
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import * as path from "node:path"
import type { Small } from "./values.js"

/** What is measured. Whatever takes keys does its operation for each of them, one after the other if not said. */
export interface Side {
  readonly name: string
  /** How it was opened, and what it cannot do. */
  readonly note?: string
  /** How many entries the rows write that write many. */
  readonly bulk: number
  /** How many entries the scan goes over. */
  readonly scanned: number
  readonly get: (keys: ReadonlyArray<string>) => Promise<unknown>
  readonly getStruct: (keys: ReadonlyArray<string>) => Promise<unknown>
  readonly getExpiring?: (keys: ReadonlyArray<string>) => Promise<unknown>
  readonly getMany: (keys: ReadonlyArray<string>) => Promise<unknown>
  readonly has: (keys: ReadonlyArray<string>) => Promise<unknown>
  readonly set: (keys: ReadonlyArray<string>, value: () => string) => Promise<unknown>
  readonly setExpiring?: (keys: ReadonlyArray<string>, value: () => string) => Promise<unknown>
  /** All at once, each by a call of its own. */
  readonly setConcurrently: (keys: ReadonlyArray<string>, value: () => string) => Promise<unknown>
  readonly setMany: (keys: ReadonlyArray<string>, value: () => string) => Promise<unknown>
  readonly remove: (keys: ReadonlyArray<string>) => Promise<unknown>
  /** How many there were. */
  readonly scan: () => Promise<number>
  /** Not measured: what the other operations find. `scanned` goes where only the scan looks. */
  readonly fill: (what: {
    readonly texts: ReadonlyArray<readonly [string, string]>
    readonly structs: ReadonlyArray<readonly [string, Small]>
    readonly expiring: ReadonlyArray<readonly [string, string]>
    readonly scanned: ReadonlyArray<readonly [string, string]>
  }) => Promise<unknown>
  /** Whether a value that was set can be read, so that nothing fails silently. */
  readonly holds: (key: string, value: string) => Promise<boolean>
  readonly close: () => Promise<unknown>
}

export const hour = 3_600_000

const manifest = new URL("../../bench/package.json", import.meta.url)

/** The version in bench/node_modules. Those above hold other versions, for other ends. */
export const versionOf = (name: string): string | undefined => {
  try {
    const found: { readonly version: string } = JSON.parse(
      readFileSync(new URL(`node_modules/${name}/package.json`, manifest), "utf8")
    )
    return found.version
  } catch {
    return undefined
  }
}

/** Says who of them is not installed. */
export const missingOf = (names: ReadonlyArray<string>): string | undefined => {
  const missing = names.filter((name) => versionOf(name) === undefined)
  return missing.length === 0 ? undefined : `${missing.join(" and ")}: not installed (npm install --prefix bench)`
}

export type Opened = { readonly sides: ReadonlyArray<Side> } | { readonly missing: string }

const open = async (
  names: ReadonlyArray<string>,
  sides: (load: (name: string) => unknown, versions: string) => Promise<ReadonlyArray<Side>>
): Promise<Opened> => {
  const missing = missingOf(names)
  if (missing !== undefined) return { missing }
  try {
    return { sides: await sides(createRequire(manifest), names.map((name) => `${name} ${versionOf(name)}`).join(", ")) }
  } catch (error) {
    return { missing: `${names.join(" and ")}: installed, and cannot be opened (${String(error).split("\n")[0]})` }
  }
}

interface Keyv {
  readonly get: (key: string) => Promise<unknown>
  readonly getMany: (keys: ReadonlyArray<string>) => Promise<ReadonlyArray<unknown>>
  readonly has: (key: string) => Promise<boolean>
  readonly set: (key: string, value: unknown, timeToLive?: number) => Promise<boolean>
  readonly setMany: (entries: ReadonlyArray<{ readonly key: string; readonly value: unknown }>) => Promise<unknown>
  readonly delete: (key: string) => Promise<boolean>
  readonly iterator: () => AsyncIterable<readonly [string, unknown]>
  readonly disconnect: () => Promise<void>
}

interface KeyvSqlite {
  readonly query: (sql: string) => Promise<unknown>
}

interface KeyvModule {
  readonly Keyv: new(options: { readonly store: KeyvSqlite; readonly throwOnErrors: boolean }) => Keyv
}

interface KeyvSqliteModule {
  readonly KeyvSqlite: new(options: { readonly uri: string; readonly iterationLimit?: string }) => KeyvSqlite
}

const keyvSide = async (
  { Keyv }: KeyvModule,
  { KeyvSqlite }: KeyvSqliteModule,
  folder: string,
  how: {
    readonly name: string
    readonly note: string
    readonly bulk: number
    readonly scanned: number
    readonly tuned: boolean
  }
): Promise<Side> => {
  const openOne = async (file: string) => {
    const store = new KeyvSqlite({
      uri: `sqlite://${path.join(folder, file)}`,
      ...(how.tuned ? { iterationLimit: "10000" } : {})
    })
    if (how.tuned) {
      await store.query("PRAGMA journal_mode = WAL")
      await store.query("PRAGMA synchronous = NORMAL")
    }
    return { keyv: new Keyv({ store, throwOnErrors: true }), store }
  }
  const { keyv, store } = await openOne(`keyv-${how.tuned}.db`)
  const scanned = await openOne(`keyv-${how.tuned}-scan.db`)

  /** In one transaction, for which keyv has no operation. */
  const fill = async (
    to: { readonly keyv: Keyv; readonly store: KeyvSqlite },
    entries: ReadonlyArray<readonly [string, unknown]>,
    timeToLive?: number
  ) => {
    await to.store.query("BEGIN")
    for (let at = 0; at < entries.length; at += 1000) {
      await Promise.all(entries.slice(at, at + 1000).map(([key, value]) => to.keyv.set(key, value, timeToLive)))
    }
    await to.store.query("COMMIT")
  }
  const get = async (keys: ReadonlyArray<string>) => {
    for (const key of keys) await keyv.get(key)
  }
  return {
    bulk: how.bulk,
    close: async () => {
      await keyv.disconnect()
      await scanned.keyv.disconnect()
    },
    fill: async (what) => {
      await fill({ keyv, store }, what.texts)
      await fill({ keyv, store }, what.structs.map(([key, value]) => [`struct:${key}`, value]))
      await fill({ keyv, store }, what.expiring.map(([key, value]) => [`expiring:${key}`, value]), hour)
      await fill(scanned, what.scanned)
    },
    get,
    getExpiring: (keys) => get(keys.map((key) => `expiring:${key}`)),
    getMany: (keys) => keyv.getMany(keys),
    getStruct: (keys) => get(keys.map((key) => `struct:${key}`)),
    has: async (keys) => {
      for (const key of keys) await keyv.has(key)
    },
    holds: async (key, value) => await keyv.get(key) === value,
    name: how.name,
    note: how.note,
    remove: async (keys) => {
      for (const key of keys) await keyv.delete(key)
    },
    scan: async () => {
      let count = 0
      for await (const [, value] of scanned.keyv.iterator()) if (value !== undefined) count++
      return count
    },
    scanned: how.scanned,
    set: async (keys, value) => {
      for (const key of keys) await keyv.set(key, value())
    },
    setConcurrently: (keys, value) => Promise.all(keys.map((key) => keyv.set(key, value()))),
    setExpiring: async (keys, value) => {
      for (const key of keys) await keyv.set(`expiring:${key}`, value(), hour)
    },
    setMany: (keys, value) => keyv.setMany(keys.map((key) => ({ key, value: value() })))
  }
}

export const openKeyv = (folder: string): Promise<Opened> =>
  open(["keyv", "@keyv/sqlite"], async (load, versions) => {
    const keyv = load("keyv") as KeyvModule
    const sqlite = load("@keyv/sqlite") as KeyvSqliteModule
    return [
      await keyvSide(keyv, sqlite, folder, {
        bulk: 100,
        name: "keyv",
        note:
          `${versions}, as it comes: a rollback journal, each set synced, 10 entries a page of the iterator. Rows ` +
          `that write many write 100, and the scan goes over 2,000: it slows down with each page`,
        scanned: 2000,
        tuned: false
      }),
      await keyvSide(keyv, sqlite, folder, {
        bulk: 1000,
        name: "keyv, tuned",
        note: "the same with WAL and synchronous NORMAL, which have no options and are set by the adapter's query(), " +
          "and iterationLimit 10,000",
        scanned: 100_000,
        tuned: true
      })
    ]
  })

interface Lmdb {
  readonly get: (key: string) => unknown
  readonly getMany: (keys: ReadonlyArray<string>) => Promise<ReadonlyArray<unknown>>
  readonly doesExist: (key: string) => boolean
  readonly put: (key: string, value: unknown) => Promise<boolean>
  readonly remove: (key: string) => Promise<boolean>
  readonly batch: (body: () => void) => Promise<boolean>
  readonly getRange: () => Iterable<{ readonly key: string; readonly value: unknown }>
  readonly close: () => Promise<void>
}

interface LmdbModule {
  readonly open: (options: { readonly path: string }) => Lmdb
}

export const openLmdb = (folder: string): Promise<Opened> =>
  open(["lmdb"], async (load, versions) => {
    const { open } = load("lmdb") as LmdbModule
    const db = open({ path: path.join(folder, "lmdb") })
    const scanned = open({ path: path.join(folder, "lmdb-scan") })
    const putAll = (to: Lmdb, entries: ReadonlyArray<readonly [string, unknown]>) =>
      to.batch(() => {
        for (const [key, value] of entries) void to.put(key, value)
      })
    const get = async (keys: ReadonlyArray<string>) => {
      for (const key of keys) db.get(key)
    }
    return [{
      bulk: 1000,
      close: async () => {
        await db.close()
        await scanned.close()
      },
      fill: async (what) => {
        await putAll(db, what.texts)
        await putAll(db, what.structs.map(([key, value]) => [`struct:${key}`, value]))
        await putAll(scanned, what.scanned)
      },
      get,
      getMany: (keys) => db.getMany(keys),
      getStruct: (keys) => get(keys.map((key) => `struct:${key}`)),
      has: async (keys) => {
        for (const key of keys) db.doesExist(key)
      },
      holds: async (key, value) => db.get(key) === value,
      name: "lmdb",
      note: `${versions}, as it comes; each put is awaited until it is committed. It has no expiry`,
      remove: async (keys) => {
        for (const key of keys) await db.remove(key)
      },
      scan: async () => {
        let count = 0
        for (const { value } of scanned.getRange()) if (value !== undefined) count++
        return count
      },
      scanned: 100_000,
      set: async (keys, value) => {
        for (const key of keys) await db.put(key, value())
      },
      setConcurrently: (keys, value) => Promise.all(keys.map((key) => db.put(key, value()))),
      setMany: (keys, value) => putAll(db, keys.map((key) => [key, value()]))
    }]
  })
