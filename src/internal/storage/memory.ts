/**
 * Storage in memory. Same meaning as the others: the order of keys, expiry by the clock, serializable transactions
 * with savepoints, values nobody outside can change.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Entry, Storage, Value } from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { Access, type Engine } from "./access.js"
import { BTree, type Tree } from "./btree.js"
import { type Call, callOf } from "./call.js"
import { clockOf } from "./compat.js"
import { failing, type Fault, otherKeys } from "./fault.js"
import { Gate, hold } from "./gate.js"
import { bytesKeys, copyBytes, type KeyKind, textKeys } from "./keys.js"
import { type Driver, makeKeyspace } from "./keyspace.js"
import type { Bounds } from "./range.js"
import { makeService } from "./service.js"

/** An entry, whose key is the identity of the user's. */
interface Row {
  readonly key: string
  readonly value: Value
  readonly expiresAt: number | undefined
}

/** The entries of one keyspace by key, and those that expire by time. Two trees that are always changed together. */
interface Table {
  byKey: Tree<string, Row>
  byExpiry: Tree<readonly [expiresAt: number, key: string], true>
}

/** What a transaction can undo. Cloning a tree is cheap: it is copied where it is written to. */
interface Undoable {
  /** Returns what puts back the present content. */
  readonly snapshot: () => () => void
  readonly empty: () => void
}

interface Memory {
  readonly parts: Set<Undoable>
  /** What undoes the open transaction, and its savepoints after it. */
  readonly savepoints: Array<{ readonly name: string; readonly undo: () => void }>
}

const live = (entry: { readonly expiresAt: number | undefined }, now: number): boolean =>
  entry.expiresAt === undefined || entry.expiresAt > now

const copyValue = (value: Value): Value => typeof value === "string" ? value : copyBytes(value)

const makeTable = (compare: (a: string, b: string) => number, memory: Memory): Table => {
  const empty = (): Table => ({
    byExpiry: new BTree<readonly [number, string], true>(undefined, (a, b) => a[0] - b[0] || compare(a[1], b[1])),
    byKey: new BTree<string, Row>(undefined, compare)
  })
  const table = empty()
  memory.parts.add({
    empty: () => Object.assign(table, empty()),
    snapshot: () => {
      const then: Table = { byExpiry: table.byExpiry.clone(), byKey: table.byKey.clone() }
      return () => Object.assign(table, then)
    }
  })
  return table
}

const makeDriver = <K extends string | Uint8Array>(
  access: Access<Memory, Fault>,
  gate: Gate,
  table: Table,
  kind: KeyKind<K>
): Driver<K> => {
  const entryAt = (key: K, { expiresAt, value }: Row): Entry<K> => ({ expiresAt, key, value: copyValue(value) })
  const entryOf = (row: Row): Entry<K> => entryAt(kind.fromIdentity(row.key), row)
  const find = (key: K, now: number): Option.Option<Entry<K>> => {
    const row = table.byKey.get(kind.identity(key))
    return row !== undefined && live(row, now) ? Option.some(entryAt(key, row)) : Option.none()
  }
  const drop = (key: string): Row | undefined => {
    const row = table.byKey.get(key)
    if (row === undefined) return undefined
    table.byKey.delete(key)
    if (row.expiresAt !== undefined) table.byExpiry.delete([row.expiresAt, row.key])
    return row
  }
  const put = ({ expiresAt, key, value }: Entry<K>): void => {
    const row: Row = { expiresAt, key: kind.identity(key), value: copyValue(value) }
    const before = table.byKey.get(row.key)
    if (before?.expiresAt !== undefined) table.byExpiry.delete([before.expiresAt, row.key])
    table.byKey.set(row.key, row)
    if (expiresAt !== undefined) table.byExpiry.set([expiresAt, row.key], true)
  }
  const scan = (bounds: Bounds<K>, now: number): Array<Row> => {
    const found: Array<Row> = []
    if (bounds.limit === 0) return found
    visitRange(table.byKey, kind, bounds, (row) => {
      if (live(row, now)) found.push(row)
      return found.length < bounds.limit
    })
    return found
  }
  const removeAll = (keys: ReadonlyArray<string>, now: number): number => {
    let count = 0
    for (const key of keys) {
      const row = drop(key)
      if (row !== undefined && live(row, now)) count++
    }
    return count
  }
  /** An operation takes one step: where nothing else is going on, it is done at once. */
  const step = <A, B>(f: (now: number) => B, done: (value: B) => A, call: Call<StorageError>) =>
    Effect.withFiberRuntime<A, StorageError>((fiber) => {
      if (!access.isPlain(fiber) || !gate.tryAcquire()) {
        return access.run((_, clock) => Effect.sync(() => f(clock.unsafeCurrentTimeMillis())), done, call)
      }
      try {
        return Effect.succeed(done(f(clockOf(fiber).unsafeCurrentTimeMillis())))
      } finally {
        gate.release()
      }
    })
  const same = <A>(value: A): A => value
  return {
    get: (key, done, call) => step((now) => find(key, now), done, call),
    head: (key, done, call) =>
      step((now) => Option.map(find(key, now), ({ expiresAt }) => ({ expiresAt })), done, call),
    getMany: (keys, call) => step((now) => keys.map((key) => find(key, now)), same, call),
    set: (entry, done, call) => step(() => put(entry), done, call),
    setMany: (entries, call) => step(() => entries.forEach(put), same, call),
    modify: (key, f, call) =>
      step(
        (now) => {
          const [answer, change] = f(find(key, now))
          if (change._tag === "Put") {
            put({ expiresAt: change.expiresAt, key, value: change.value })
            change.others?.forEach(put)
          } else if (change._tag === "Remove") drop(kind.identity(key))
          return answer
        },
        same,
        call
      ),
    remove: (key, call) => step((now) => removeAll([kind.identity(key)], now) > 0, same, call),
    removeMany: (keys, call) => step((now) => removeAll(keys.map(kind.identity), now), same, call),
    take: (bounds, call) =>
      step(
        (now) => {
          const rows = scan(bounds, now)
          for (const { key } of rows) drop(key)
          return rows.map(entryOf)
        },
        same,
        call
      ),
    entries: (bounds, call) => step((now) => scan(bounds, now).map(entryOf), same, call),
    keys: (bounds, call) => step((now) => scan(bounds, now).map(({ key }) => kind.fromIdentity(key)), same, call),
    stat: (bounds, call) =>
      step(
        (now) => {
          const rows = scan(bounds, now)
          let bytes = 0
          for (const { key, value } of rows) bytes += kind.byteLength(kind.fromIdentity(key)) + valueBytes(value)
          return { bytes, entries: rows.length }
        },
        same,
        call
      ),
    clear: (bounds, call) =>
      step(
        (now) => {
          const keys: Array<string> = []
          visitRange(table.byKey, kind, bounds, ({ key }) => keys.push(key) > 0)
          return removeAll(keys, now)
        },
        same,
        call
      ),
    removeExpired: (limit, call) =>
      step(
        (now) => {
          const gone: Array<string> = []
          for (const [expiresAt, key] of table.byExpiry.keys()) {
            if (expiresAt > now || gone.length >= limit) break
            gone.push(key)
          }
          for (const key of gone) drop(key)
          return { more: limit > 0 && gone.length === limit, removed: gone.length }
        },
        same,
        call
      )
  }
}

const valueBytes = (value: Value): number => typeof value === "string" ? Buffer.byteLength(value) : value.length

/** Visits the rows of a range in order, for as long as `visit` answers with true. */
const visitRange = <K>(
  tree: Tree<string, Row>,
  { compareIdentities, identity }: KeyKind<K>,
  { lower, reverse, upper }: Bounds<K>,
  visit: (row: Row) => boolean
): void => {
  if (tree.isEmpty) return
  const least = lower === undefined ? undefined : identity(lower.key)
  const most = upper === undefined ? undefined : identity(upper.key)
  const isBelow = (key: string): boolean => {
    if (least === undefined) return false
    const order = compareIdentities(key, least)
    return order < 0 || (order === 0 && lower?.inclusive === false)
  }
  const isAbove = (key: string): boolean => {
    if (most === undefined) return false
    const order = compareIdentities(key, most)
    return order > 0 || (order === 0 && upper?.inclusive === false)
  }
  const isBefore = reverse ? isAbove : isBelow
  const isAfter = reverse ? isBelow : isAbove
  for (const [key, row] of reverse ? tree.entriesReversed(most) : tree.entries(least)) {
    if (isBefore(key)) continue
    if (isAfter(key) || !visit(row)) return
  }
}

/** All that is in memory is one connection, and one gate stands before it. */
const makeEngine = (
  lockTimeout: Duration.Duration
): { readonly engine: Engine<Memory, Fault>; readonly gate: Gate; readonly memory: Memory } => {
  const memory: Memory = { parts: new Set(), savepoints: [] }
  const gate = new Gate()
  const open = (name: string) =>
    Effect.sync(() => {
      const before = new Map(Array.from(memory.parts, (part) => [part, part.snapshot()]))
      const undo = () => {
        for (const part of memory.parts) (before.get(part) ?? part.empty)()
      }
      memory.savepoints.push({ name, undo })
    })
  // Those within end with it; what has ended already is not found.
  const end = (name: string, undo: boolean) =>
    Effect.sync(() => {
      const at = memory.savepoints.findIndex((savepoint) => savepoint.name === name)
      if (at < 0) return
      if (undo) memory.savepoints[at]?.undo()
      memory.savepoints.length = at
    })
  const outermost = ""
  return {
    engine: {
      begin: () => open(outermost),
      careful: () => memory,
      classify: (fault) => fault,
      coalesce: false,
      commit: () => end(outermost, false),
      enter: (context) => context,
      exclusive: (self, settle, wait) => hold(gate, () => self(memory), settle, wait),
      guarded: (connection) => connection,
      isLost: () => false,
      isOpen: () => Effect.succeed(true),
      joined: () => undefined,
      lockTimeout,
      release: (_, name) => end(name, false),
      rollback: () => end(outermost, true),
      rollbackTo: (_, name) => end(name, true),
      savepoint: (_, name) => open(name),
      single: true,
      system: "memory"
    },
    gate,
    memory
  }
}

/** @internal */
export const makeMemory: Effect.Effect<Storage["Type"], never, Scope.Scope> = Effect.gen(function*() {
  const { engine, gate, memory } = makeEngine(Duration.seconds(5))
  const access = new Access(engine, yield* Effect.runtime<never>())
  const kinds = new Map<string, "text" | "bytes">()
  memory.parts.add({
    empty: () => kinds.clear(),
    snapshot: () => {
      const then = new Map(kinds)
      return () => {
        kinds.clear()
        for (const [name, kind] of then) kinds.set(name, kind)
      }
    }
  })
  const tables = new Map<string, Table>()
  const open = <K extends string | Uint8Array>(kind: KeyKind<K>) => (name: string) =>
    access.run(
      () =>
        Effect.suspend(() => {
          const created = kinds.get(name)
          if (created !== undefined && created !== kind.name) return Effect.fail(otherKeys(created, kind.name))
          kinds.set(name, kind.name)
          const id = `${kind.name} ${name}`
          let table = tables.get(id)
          if (table === undefined) tables.set(id, table = makeTable(kind.compareIdentities, memory))
          return Effect.succeed(makeKeyspace(name, kind, makeDriver(access, gate, table, kind)))
        }),
      (keyspace) => keyspace,
      { fail: failing("open", name) }
    )
  // Nothing can be wrong with the default settings.
  return yield* Effect.orDie(makeService({
    access,
    keyspaces: access.run(
      () => Effect.sync(() => Array.from(kinds, ([name, keys]) => ({ keys, name }))),
      (keyspaces) => keyspaces,
      callOf("keyspaces")
    ),
    openBytes: open(bytesKeys),
    openText: open(textKeys),
    reclaim: Effect.void,
    sweep: undefined
  }))
})
