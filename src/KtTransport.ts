/**
 * What a Kyoto Tycoon server knows to do: records with expiry in numbered databases, matching, cursors, procedures,
 * conditions, an update log. `KtCompat` is the client of it.
 *
 * The layers here are such a server without the server: the same meaning, in this process, on any `Storage`.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as internal from "./internal/kt/engine.js"
import type { KtError } from "./KtError.js"
import type * as Storage from "./Storage.js"
import type { InvalidKey, StorageError } from "./StorageError.js"

/**
 * What any operation may fail with.
 *
 * @since 0.1.0
 * @category errors
 */
export type Failure = KtError | StorageError | InvalidKey

/**
 * A database: its index, from 0 on, or its name: that of its file, or its expression (`"%"`). Of several with one name
 * it is the last.
 *
 * @since 0.1.0
 * @category models
 */
export type Database = number | string

/**
 * A database that there is.
 *
 * @since 0.1.0
 * @category models
 */
export interface DatabaseInfo {
  readonly index: number
  /** The last part of the path. */
  readonly name: string
  readonly path: string
  /** Whether its cursors go backward, and to places between keys. */
  readonly isOrdered: boolean
}

/**
 * When a record expires that is written: never; as the one that it replaces, if that is there (`Keep`); after or at
 * milliseconds; or by the number of the protocol, which is in seconds: from now, or if it is negative since the epoch,
 * and the record lives until that second is over.
 *
 * @since 0.1.0
 * @category models
 */
export type Expiry =
  | { readonly _tag: "Never" }
  | { readonly _tag: "Keep" }
  | { readonly _tag: "After"; readonly millis: number }
  | { readonly _tag: "At"; readonly millis: number }
  | { readonly _tag: "Xt"; readonly xt: number }

/**
 * Where a record is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Address {
  readonly db: Database
  readonly key: Uint8Array
}

/**
 * A record that is there.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stored {
  readonly value: Uint8Array
  /** Milliseconds since the epoch; undefined if it does not expire. */
  readonly expiresAt: number | undefined
}

/**
 * A record that is to be written.
 *
 * @since 0.1.0
 * @category models
 */
export interface Item extends Address {
  readonly value: Uint8Array
  readonly expiry: Expiry
}

/**
 * A record that is there, with its key.
 *
 * @since 0.1.0
 * @category models
 */
export interface Entry extends Stored {
  readonly key: Uint8Array
}

/**
 * What procedures take and answer, in order.
 *
 * @since 0.1.0
 * @category models
 */
export type Pair = readonly [name: Uint8Array, value: Uint8Array]

/**
 * What an increment does where there is no number yet: begin with one; `"try"`: fail as `NoRecord`; `"set"`: put the
 * number there, whatever was before.
 *
 * @since 0.1.0
 * @category models
 */
export type Origin<N> = N | "set" | "try"

/**
 * A call of a procedure.
 *
 * @since 0.1.0
 * @category models
 */
export interface Call {
  readonly name: string
  /** 0, or what `data` says. */
  readonly db?: Database | undefined
  /** What the procedure knows by name. If there are none, they are taken from `data`, as the protocol has it. */
  readonly parameters?: Readonly<Record<string, string | Uint8Array | undefined>> | undefined
  readonly data?: ReadonlyArray<Pair> | undefined
}

/**
 * A place in a database. It begins without a position: then only `jump` and `jumpBack` do something.
 *
 * A cursor goes forward, or backward after `jumpBack` and `stepBack`. If the record under it is removed by somebody
 * else, it is on the next greater one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Cursor {
  /** To the first record, or to the first whose key is not less. Whether there is one; if not, it has no position. */
  readonly jump: (key?: Uint8Array) => Effect.Effect<boolean, Failure>
  /** To the last record, or to the last whose key is not greater. */
  readonly jumpBack: (key?: Uint8Array) => Effect.Effect<boolean, Failure>
  readonly step: Effect.Effect<boolean, Failure>
  readonly stepBack: Effect.Effect<boolean, Failure>
  /** The record under it; with `step`, it then goes one further in its direction. */
  readonly get: (step: boolean) => Effect.Effect<Option.Option<Entry>, Failure>
  /** Writes a value to the record under it. */
  readonly set: (value: Uint8Array, step: boolean, expiry: Expiry) => Effect.Effect<boolean, Failure>
  /** Removes the record under it, and goes one further in its direction. */
  readonly seize: Effect.Effect<Option.Option<Entry>, Failure>
  /** The records from here on in its direction. When one is given out, the cursor is on the one after it. */
  readonly entries: Stream.Stream<Entry, Failure>
}

/**
 * A part of the update log.
 *
 * @since 0.1.0
 * @category models
 */
export interface LogFile {
  readonly path: string
  readonly bytes: number
  /** The time of its last change, in nanoseconds since the epoch; 0 if there is none. */
  readonly latest: bigint
}

/**
 * A change that was made, in the order of their times. A bulk is a change for each record.
 *
 * @since 0.1.0
 * @category models
 */
export type Change =
  & {
    /** In nanoseconds since the epoch; each change has its own. */
    readonly timestamp: bigint
    /** The number of the server that made it. */
    readonly serverId: number
    readonly database: number
  }
  & (
    | {
      readonly _tag: "Set"
      readonly key: Uint8Array
      readonly value: Uint8Array
      readonly expiresAt: number | undefined
    }
    | { readonly _tag: "Remove"; readonly key: Uint8Array }
    | { readonly _tag: "Clear" }
  )

/**
 * The operations of a server. Keys and values are bytes; a key has at most 2,048.
 *
 * @since 0.1.0
 * @category tags
 */
export class KtTransport extends Context.Tag("effect-kv/KtTransport")<KtTransport, {
  readonly get: (db: Database, key: Uint8Array) => Effect.Effect<Option.Option<Stored>, Failure>
  /** Aligned with its input. */
  readonly getMany: (addresses: ReadonlyArray<Address>) => Effect.Effect<ReadonlyArray<Option.Option<Stored>>, Failure>
  /** What is known of a record without its value. */
  readonly head: (
    db: Database,
    key: Uint8Array
  ) => Effect.Effect<Option.Option<Pick<Stored, "expiresAt">>, Failure>
  readonly set: (db: Database, key: Uint8Array, value: Uint8Array, expiry: Expiry) => Effect.Effect<void, Failure>
  /** All or nothing in databases of one storage. Of several with one key the last wins. */
  readonly setMany: (items: ReadonlyArray<Item>) => Effect.Effect<void, Failure>
  /** Writes if there is none; tells whether it did. */
  readonly add: (db: Database, key: Uint8Array, value: Uint8Array, expiry: Expiry) => Effect.Effect<boolean, Failure>
  /** Writes if there is one; tells whether it did. */
  readonly replace: (
    db: Database,
    key: Uint8Array,
    value: Uint8Array,
    expiry: Expiry
  ) => Effect.Effect<boolean, Failure>
  readonly append: (db: Database, key: Uint8Array, value: Uint8Array, expiry: Expiry) => Effect.Effect<void, Failure>
  /** Adds to a number of 64 bits, and answers with the sum. Adding 0 to a number writes nothing. */
  readonly increment: (
    db: Database,
    key: Uint8Array,
    by: bigint,
    orig: Origin<bigint>,
    expiry: Expiry
  ) => Effect.Effect<bigint, Failure>
  /** The same for numbers with 15 decimals. */
  readonly incrementDouble: (
    db: Database,
    key: Uint8Array,
    by: number,
    orig: Origin<number>,
    expiry: Expiry
  ) => Effect.Effect<number, Failure>
  /** Writes, or removes, if the record is as expected. `None` stands for no record. */
  readonly cas: (
    db: Database,
    key: Uint8Array,
    expected: Option.Option<Uint8Array>,
    next: Option.Option<Uint8Array>,
    expiry: Expiry
  ) => Effect.Effect<boolean, Failure>
  readonly remove: (db: Database, key: Uint8Array) => Effect.Effect<boolean, Failure>
  /** How many there were; all or none of those in databases of one storage are removed. */
  readonly removeMany: (addresses: ReadonlyArray<Address>) => Effect.Effect<number, Failure>
  /** Removes a record and gives it to exactly one caller. */
  readonly seize: (db: Database, key: Uint8Array) => Effect.Effect<Option.Option<Stored>, Failure>
  /** Changes when records expire, all or none. Aligned with its input: when each expired before. */
  readonly touch: (
    db: Database,
    keys: ReadonlyArray<Uint8Array>,
    expiry: Expiry
  ) => Effect.Effect<ReadonlyArray<Option.Option<Pick<Stored, "expiresAt">>>, Failure>
  /**
   * Has records expire so many milliseconds later, or earlier, all or none; what never expires stays so. Aligned with its
   * input: when each expires then.
   */
  readonly touchRelative: (
    db: Database,
    keys: ReadonlyArray<Uint8Array>,
    millis: number
  ) => Effect.Effect<ReadonlyArray<Option.Option<Pick<Stored, "expiresAt">>>, Failure>

  /** Keys that begin so, in order; at most `max`. */
  readonly matchPrefix: (
    db: Database,
    prefix: Uint8Array,
    max: number
  ) => Effect.Effect<ReadonlyArray<Uint8Array>, Failure>
  /** Keys in which a POSIX extended regular expression, of bytes, is found; in order, at most `max`. */
  readonly matchRegex: (
    db: Database,
    regex: Uint8Array,
    max: number
  ) => Effect.Effect<ReadonlyArray<Uint8Array>, Failure>
  /**
   * Keys that are no more than so many edits away, the nearest first, at most `max`. An edit inserts, removes or replaces
   * a code point of UTF-8, or a byte.
   */
  readonly matchSimilar: (
    db: Database,
    origin: Uint8Array,
    distance: number,
    of: "codePoints" | "bytes",
    max: number
  ) => Effect.Effect<ReadonlyArray<Uint8Array>, Failure>
  /** The records of a database in order. What is there throughout is seen exactly once. */
  readonly entries: (db: Database) => Stream.Stream<Entry, Failure>
  readonly keys: (db: Database) => Stream.Stream<Uint8Array, Failure>
  readonly cursor: (db: Database) => Effect.Effect<Cursor, Failure, Scope.Scope>

  readonly call: (call: Call) => Effect.Effect<ReadonlyArray<Pair>, Failure>

  /** Waits until a condition is signalled, at most so many milliseconds; whether it was. */
  readonly wait: (condition: string, millis: number) => Effect.Effect<boolean, Failure>
  /** Wakes one who waits for a condition, or all; how many were waiting. */
  readonly signal: (condition: string, all: boolean) => Effect.Effect<number, Failure>

  readonly clear: (db: Database) => Effect.Effect<void, Failure>
  /** Returns when all that was written is; with `hard`, on the disk. */
  readonly synchronize: (db: Database, hard: boolean) => Effect.Effect<void, Failure>
  /** Frees the room of what has expired. */
  readonly vacuum: (db: Database) => Effect.Effect<void, Failure>
  /** The databases that there are. */
  readonly databases: Effect.Effect<ReadonlyArray<DatabaseInfo>, Failure>
  readonly status: (db: Database) => Effect.Effect<ReadonlyMap<string, string>, Failure>
  readonly report: Effect.Effect<ReadonlyMap<string, string>, Failure>
  /** The last error that an operation failed with. */
  readonly lastError: Effect.Effect<{ readonly code: number; readonly message: string }, Failure>

  readonly ulogList: Effect.Effect<ReadonlyArray<LogFile>, Failure>
  /** Removes what was logged up to a time, in nanoseconds since the epoch, but for the last change. */
  readonly ulogRemove: (until: bigint) => Effect.Effect<void, Failure>
  /** The changes after a time, in nanoseconds since the epoch; with `follow`, also those that are made from now on. */
  readonly changes: (since: bigint, follow: boolean) => Stream.Stream<Change, Failure>
}>() {}

/**
 * A procedure of one's own. `KtCompat.procedure` makes one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Procedure<out R = never> {
  readonly name: string
  /** Runs in one transaction over all databases (of several storages, one in the other); if it fails, nothing was written. */
  readonly run: (
    transport: KtTransport["Type"],
    data: ReadonlyArray<Pair>,
    db: Database
  ) => Effect.Effect<ReadonlyArray<Pair>, unknown, R>
}

/**
 * What databases have besides their records.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<R = never> {
  /** Procedures beside the built-in ones, whose names they cannot have. */
  readonly procedures?: ReadonlyArray<Procedure<R>> | undefined
  /**
   * Whether writes are recorded, in the storage of the first database, and under which number of a server, from 0 to
   * 65,535; not.
   */
  readonly updateLog?: { readonly serverId: number } | undefined
}

/**
 * Databases in the `Storage` of the context, each by its name: one by default, `"kt"`. One that is named `*`, `:` or `-`,
 * or ends in `.kch` or `.kcd`, is without an order, as with the original: its cursors jump to keys that are there, and do
 * not go backward.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(
  options?: Options<R> & { readonly databases?: ReadonlyArray<string> | undefined }
): Layer.Layer<KtTransport, StorageError | KtError, Storage.Storage | R> =>
  Layer.scoped(KtTransport, internal.makeOnStorage(options?.databases, options))

/**
 * Databases by the expressions of the original: `"%"` and `"+"` are in memory and ordered; `"*"`, `":"` and `"-"` in
 * memory and without order; anything else is the name of a file, which is a database of SQLite. What follows a `#` are
 * settings; `#ktopts=p` has records never expire, and the others change nothing.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerDatabases = <R = never>(
  databases: ReadonlyArray<string>,
  options?: Options<R>
): Layer.Layer<KtTransport, StorageError | KtError, R> =>
  Layer.scoped(KtTransport, internal.makeOfExpressions(databases, options))

/**
 * One ordered database in a memory of its own.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<KtTransport, StorageError | KtError> = layerDatabases(["%"])
