/**
 * Databases by their names, numbers and expressions, each a keyspace of a `Storage`.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import { KtError } from "../../KtError.js"
import * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { resolve as resolvePath } from "../sqlite/path.js"
import { failing, Fault } from "../storage/fault.js"
import { bytesOf } from "./bytes.js"

/** @internal */
export type Bytes = Storage.Keyspace<Uint8Array>

/** @internal */
export interface Database {
  readonly index: number
  /** As it was given, without its settings. */
  readonly path: string
  /** The last part of the path. */
  readonly name: string
  /** Whether cursors go backward, and to places between keys. */
  readonly isOrdered: boolean
  /** Whether nothing in it expires. */
  readonly isPersistent: boolean
  /** The number that the original has for this kind. */
  readonly type: number
  readonly storage: Storage.Storage["Type"]
  /** The place of the storage among all: those of a common transaction are taken in one order, whoever asks. */
  readonly rank: string
  /** What is written with it: itself, and where its changes are logged. */
  readonly shares: ReadonlyArray<Pick<Database, "rank" | "storage">>
  readonly keyspace: Bytes
  /** Has all that was written reach the disk. */
  readonly sync: Effect.Effect<void, StorageError>
  /** How often it was cleared: a cursor loses its position with that. */
  cleared: number
}

/** The kinds of databases: by their expression in memory, or the end of their file's name. */
const kinds: Readonly<Record<string, readonly [type: number, isOrdered: boolean]>> = {
  "*": [32, false],
  "+": [17, true],
  "-": [16, false],
  ":": [24, false],
  "%": [33, true],
  ".kcd": [64, false],
  ".kcf": [65, true],
  ".kch": [48, false],
  ".kct": [49, true]
}

const isInMemory = (path: string): boolean => path.length === 1 && Object.hasOwn(kinds, path)

/** The end of a file's name, with its dot. */
const ending = /\.[^.]*$/

interface Expression {
  readonly path: string
  readonly name: string
  readonly kind: readonly [type: number, isOrdered: boolean]
  readonly isPersistent: boolean
}

const parse = (expression: string): Effect.Effect<Expression, KtError> => {
  const [path = "", ...settings] = expression.split("#")
  const name = path.slice(path.lastIndexOf("/") + 1)
  if (name === "") {
    return Effect.fail(
      new KtError({
        detail: `${JSON.stringify(expression)} names no database; give "%" for one in memory, or the name of a file`,
        method: "open",
        reason: "InvalidArgument"
      })
    )
  }
  const kind = isInMemory(path) ? kinds[path] : kinds[ending.exec(name)?.[0] ?? ""]
  const bounds = settings.filter((setting) => /^(kt)?cap(cnt|siz)=/.test(setting))
  return Effect.as(
    bounds.length === 0
      ? Effect.void
      : Effect.logWarning(`the database ${path} is not bounded: ${bounds.join(" and ")} changes nothing here`),
    {
      isPersistent: settings.some((setting) => /^ktopts=\w*p/.test(setting)),
      kind: kind ?? [49, true],
      name,
      path
    }
  )
}

const lasting = <K>(entry: Storage.Entry<K>): Storage.Entry<K> => ({ ...entry, expiresAt: undefined })

/**
 * A keyspace in which nothing expires.
 *
 * @internal
 */
export const persistent = (keyspace: Bytes): Bytes => ({
  ...keyspace,
  modify: (key, f) =>
    keyspace.modify(key, (entry) => {
      const [answer, change] = f(entry)
      return [
        answer,
        change._tag === "Put" ? Storage.put(change.value, undefined, change.others?.map(lasting)) : change
      ]
    }),
  set: (key, value) => keyspace.set(key, value),
  setMany: (entries) => keyspace.setMany(Array.from(entries, lasting))
})

/**
 * The name of a database that has no other: that of a file is the same.
 *
 * @internal
 */
export const defaultName = "kt"

const keyspaceOf = (name: string): string => `kt ${name}`

/** A `Storage`, its place among all, and how what is written there reaches the disk. */
type Opened = Pick<Database, "rank" | "storage" | "sync">

const withoutDisk = (storage: Storage.Storage["Type"]): Opened => ({
  rank: "",
  storage,
  sync: storage.maintenance.flush
})

const open = (
  index: number,
  { isPersistent, kind, name, path }: Expression,
  { rank, storage, sync }: Opened,
  keyspace: string
): Effect.Effect<Database, StorageError> =>
  Effect.map(storage.keyspace(keyspace, { keys: "bytes" }), (keyspace) => ({
    cleared: 0,
    index,
    isOrdered: kind[1],
    isPersistent,
    keyspace,
    name,
    path,
    rank,
    shares: [{ rank, storage }],
    storage,
    sync,
    type: kind[0]
  }))

/** The one path of a file, whatever it is called. */
const realPath = (path: string): string => {
  const absolute = resolvePath(path)
  try {
    return fs.realpathSync(absolute)
  } catch {
    return absolute
  }
}

/** Expressions, of which no two that are kept may mean the same. */
const parseAll = (
  expressions: ReadonlyArray<string>,
  isKept: (path: string) => boolean,
  identity: (path: string) => string
): Effect.Effect<ReadonlyArray<Expression>, KtError> =>
  Effect.flatMap(Effect.forEach(expressions, parse), (parsed) => {
    if (parsed.length === 0) {
      return Effect.fail(
        new KtError({
          detail: "there is to be at least one database; give \"%\" for one in memory, or the name of a file",
          method: "open",
          reason: "InvalidArgument"
        })
      )
    }
    const kept = parsed.map(({ path }) => path).filter(isKept)
    const same = kept.map(identity)
    const twice = kept.find((_, i) => same.indexOf(same[i] ?? "") < i)
    return twice === undefined ? Effect.succeed(parsed) : Effect.fail(
      new KtError({
        detail: `there cannot be two databases ${JSON.stringify(twice)}; give each its own name`,
        method: "open",
        reason: "InvalidArgument"
      })
    )
  })

/**
 * Databases in one `Storage`, by their names.
 *
 * @internal
 */
export const onStorage = (
  storage: Storage.Storage["Type"],
  names: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Database>, StorageError | KtError> =>
  Effect.flatMap(
    parseAll(names, () => true, (name) => name),
    (all) => Effect.forEach(all, (parsed, index) => open(index, parsed, withoutDisk(storage), keyspaceOf(parsed.path)))
  )

/**
 * Databases in memory and in files. Those in memory are in one `Storage`, and so have transactions in common.
 *
 * @internal
 */
export const ofExpressions = (
  expressions: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Database>, StorageError | KtError, Scope.Scope> =>
  Effect.gen(function*() {
    const all = yield* parseAll(expressions, (path) => !isInMemory(path), realPath)
    const memory = withoutDisk(Context.get(yield* Layer.build(Layer.fresh(Storage.layerMemory)), Storage.Storage))
    return yield* Effect.forEach(all, (parsed, index) =>
      isInMemory(parsed.path)
        ? open(index, parsed, memory, keyspaceOf(String(index)))
        : Effect.flatMap(
          file(parsed.path, realPath(parsed.path)),
          (opened) => open(index, parsed, opened, keyspaceOf(defaultName))
        ))
  })

/** The driver of SQLite is loaded only if there is a file. */
const file = (filename: string, rank: string): Effect.Effect<Opened, StorageError, Scope.Scope> =>
  Effect.gen(function*() {
    const sqlite = yield* Effect.tryPromise({
      catch: (cause) =>
        failing("open")(new Fault("Unavailable", `${filename} needs @effect/sql-sqlite-node; install it`, cause)),
      try: () => import("../../Sqlite.js")
    })
    const context = yield* Layer.build(Layer.provideMerge(Storage.layer(), sqlite.layer({ filename })))
    const storage = Context.get(context, Storage.Storage)
    const checkpoint = Effect.asVoid(Effect.mapInputContext(
      sqlite.checkpoint,
      (own: Context.Context<never>) => Context.merge(own, context)
    ))
    return { rank, storage, sync: Effect.zipRight(storage.maintenance.flush, checkpoint) }
  })

/**
 * Runs an effect in one transaction over several databases. Those of different storages are committed one after the
 * other.
 *
 * @internal
 */
export const together = <A, E, R>(
  databases: Iterable<Database>,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E | StorageError, R> => {
  const ranked = Array.from(databases).flatMap(({ shares }) => shares).sort((a, b) =>
    a.rank < b.rank ? 1 : a.rank > b.rank ? -1 : 0
  )
  let all: Effect.Effect<A, E | StorageError, R> = self
  for (const storage of new Set(ranked.map(({ storage }) => storage))) all = storage.transaction(all, { retry: true })
  return all
}

/**
 * Entries whose values are bytes, as all are that were written here.
 *
 * @internal
 */
export const stored = <K>(entry: Storage.Entry<K>): Storage.Entry<K> & { readonly value: Uint8Array } =>
  hasBytes(entry) ? entry : { ...entry, value: bytesOf(entry.value) }

const hasBytes = <K>(entry: Storage.Entry<K>): entry is Storage.Entry<K> & { readonly value: Uint8Array } =>
  typeof entry.value !== "string"
