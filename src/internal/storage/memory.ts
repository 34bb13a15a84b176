/**
 * Storage in memory. Same meaning as the others: the order of keys, expiry by the clock, serializable transactions
 * with savepoints, values nobody outside can change.
 *
 * @internal
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Entry, Storage, Value } from "../../Storage.js"
import { Access, type Engine } from "./access.js"
import { BTree, type Tree } from "./btree.js"
import { callOf } from "./call.js"
import { failing, type Fault, otherKeys } from "./fault.js"
import { Gate, hold } from "./gate.js"
import { bytesKeys, copyBytes, type KeyKind, textKeys } from "./keys.js"
import { type Driver, makeKeyspace } from "./keyspace.js"
import type { Bounds } from "./range.js"
import { makeService } from "./service.js"

/** The entries of one keyspace by key, and those that expire by time. Two trees that are always changed together. */
interface Table<K> {
  byKey: Tree<K, Entry<K>>
  byExpiry: Tree<readonly [expiresAt: number, key: K], true>
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

const makeTable = <K>(kind: KeyKind<K>, memory: Memory): Table<K> => {
  const empty = (): Table<K> => ({
    byExpiry: new BTree<readonly [number, K], true>(undefined, (a, b) => a[0] - b[0] || kind.compare(a[1], b[1])),
    byKey: new BTree<K, Entry<K>>(undefined, kind.compare)
  })
  const table = empty()
  memory.parts.add({
    empty: () => Object.assign(table, empty()),
    snapshot: () => {
      const then: Table<K> = { byExpiry: table.byExpiry.clone(), byKey: table.byKey.clone() }
      return () => Object.assign(table, then)
    }
  })
  return table
}

const makeDriver = <K extends string | Uint8Array>(
  access: Access<Memory, Fault>,
  table: Table<K>,
  kind: KeyKind<K>
): Driver<K> => {
  const copy = ({ expiresAt, key, value }: Entry<K>): Entry<K> => ({
    expiresAt,
    key: kind.copy(key),
    value: copyValue(value)
  })
  const find = (key: K, now: number): Option.Option<Entry<K>> => {
    const entry = table.byKey.get(key)
    return entry !== undefined && live(entry, now) ? Option.some(copy(entry)) : Option.none()
  }
  const drop = (key: K): Entry<K> | undefined => {
    const entry = table.byKey.get(key)
    if (entry === undefined) return undefined
    table.byKey.delete(key)
    if (entry.expiresAt !== undefined) table.byExpiry.delete([entry.expiresAt, entry.key])
    return entry
  }
  const put = (entry: Entry<K>): void => {
    drop(entry.key)
    const own = copy(entry)
    table.byKey.set(own.key, own)
    if (own.expiresAt !== undefined) table.byExpiry.set([own.expiresAt, own.key], true)
  }
  const scan = (bounds: Bounds<K>, now: number): Array<Entry<K>> => {
    const found: Array<Entry<K>> = []
    for (const entry of inBounds(table.byKey, kind, bounds)) {
      if (found.length >= bounds.limit) break
      if (live(entry, now)) found.push(entry)
    }
    return found
  }
  const removeAll = (keys: ReadonlyArray<K>, now: number): number => {
    let count = 0
    for (const key of keys) {
      const entry = drop(key)
      if (entry !== undefined && live(entry, now)) count++
    }
    return count
  }
  const sync = <A>(f: (now: number) => A) => (_: Memory, clock: Clock.Clock) =>
    Effect.sync(() => f(clock.unsafeCurrentTimeMillis()))
  const same = <A>(value: A): A => value
  return {
    get: (key, done, call) => access.run(sync((now) => find(key, now)), done, call),
    head: (key, done, call) =>
      access.run(sync((now) => Option.map(find(key, now), ({ expiresAt }) => ({ expiresAt }))), done, call),
    getMany: (keys, call) => access.run(sync((now) => keys.map((key) => find(key, now))), same, call),
    set: (entry, done, call) => access.run(sync(() => put(entry)), done, call),
    setMany: (entries, call) => access.run(sync(() => entries.forEach(put)), same, call),
    modify: (key, f, call) =>
      access.run(
        sync((now) => {
          const [answer, change] = f(find(key, now))
          if (change._tag === "Put") put({ expiresAt: change.expiresAt, key, value: change.value })
          else if (change._tag === "Remove") drop(key)
          return answer
        }),
        same,
        call
      ),
    remove: (key, call) => access.run(sync((now) => removeAll([key], now) > 0), same, call),
    removeMany: (keys, call) => access.run(sync((now) => removeAll(keys, now)), same, call),
    take: (bounds, call) =>
      access.run(
        sync((now) => {
          const entries = scan(bounds, now)
          for (const entry of entries) drop(entry.key)
          return entries.map(copy)
        }),
        same,
        call
      ),
    entries: (bounds, call) => access.run(sync((now) => scan(bounds, now).map(copy)), same, call),
    keys: (bounds, call) =>
      access.run(sync((now) => scan(bounds, now).map((entry) => kind.copy(entry.key))), same, call),
    stat: (bounds, call) =>
      access.run(
        sync((now) => {
          const entries = scan(bounds, now)
          let bytes = 0
          for (const entry of entries) bytes += kind.byteLength(entry.key) + valueBytes(entry.value)
          return { bytes, entries: entries.length }
        }),
        same,
        call
      ),
    clear: (bounds, call) =>
      access.run(
        sync((now) => removeAll(Array.from(inBounds(table.byKey, kind, bounds), (entry) => entry.key), now)),
        same,
        call
      ),
    removeExpired: (limit, call) =>
      access.run(
        sync((now) => {
          const gone: Array<K> = []
          for (const [expiresAt, key] of table.byExpiry.keys()) {
            if (expiresAt > now || gone.length >= limit) break
            gone.push(key)
          }
          for (const key of gone) drop(key)
          return { more: limit > 0 && gone.length === limit, removed: gone.length }
        }),
        same,
        call
      )
  }
}

const valueBytes = (value: Value): number => typeof value === "string" ? Buffer.byteLength(value) : value.length

function* inBounds<K>(tree: Tree<K, Entry<K>>, kind: KeyKind<K>, bounds: Bounds<K>): Iterable<Entry<K>> {
  const { lower, reverse, upper } = bounds
  const beforeLower = (key: K): boolean => {
    if (lower === undefined) return false
    const order = kind.compare(key, lower.key)
    return order < 0 || (order === 0 && !lower.inclusive)
  }
  const afterUpper = (key: K): boolean => {
    if (upper === undefined) return false
    const order = kind.compare(key, upper.key)
    return order > 0 || (order === 0 && !upper.inclusive)
  }
  if (tree.isEmpty) return
  const start = reverse ? upper?.key : lower?.key
  const [skip, stop] = reverse ? [afterUpper, beforeLower] : [beforeLower, afterUpper]
  for (const [key, entry] of reverse ? tree.entriesReversed(start) : tree.entries(start)) {
    if (skip(key)) continue
    if (stop(key)) return
    yield entry
  }
}

/** All that is in memory is one connection, and one gate stands before it. */
const makeEngine = (
  lockTimeout: Duration.Duration
): { readonly engine: Engine<Memory, Fault>; readonly memory: Memory } => {
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
    memory
  }
}

/** @internal */
export const makeMemory: Effect.Effect<Storage["Type"], never, Scope.Scope> = Effect.gen(function*() {
  const { engine, memory } = makeEngine(Duration.seconds(5))
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
  const tables = { bytes: new Map<string, Table<Uint8Array>>(), text: new Map<string, Table<string>>() }
  const open = <K extends string | Uint8Array>(tables: Map<string, Table<K>>, kind: KeyKind<K>) => (name: string) =>
    access.run(
      () =>
        Effect.suspend(() => {
          const created = kinds.get(name)
          if (created !== undefined && created !== kind.name) return Effect.fail(otherKeys(created, kind.name))
          kinds.set(name, kind.name)
          let table = tables.get(name)
          if (table === undefined) tables.set(name, table = makeTable(kind, memory))
          return Effect.succeed(makeKeyspace(name, kind, makeDriver(access, table, kind)))
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
    openBytes: open(tables.bytes, bytesKeys),
    openText: open(tables.text, textKeys),
    reclaim: Effect.void,
    sweep: undefined
  }))
})
