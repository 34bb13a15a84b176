/**
 * A Kyoto Tycoon server without the server: what it does, over `Storage`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { KtError } from "../../KtError.js"
import type {
  Call,
  Database as Reference,
  Entry,
  Failure,
  KtTransport,
  Options,
  Pair,
  Procedure
} from "../../KtTransport.js"
import * as Storage from "../../Storage.js"
import { InvalidKey, StorageError } from "../../StorageError.js"
import { providing } from "../done.js"
import { realMillis } from "../storage/compat.js"
import { afterCommit } from "../storage/service.js"
import { sweep } from "../storage/sweep.js"
import { lastingContext } from "../storage/transactions.js"
import { makeBulk } from "./bulk.js"
import { bytesOf, latin1, utf8 } from "./bytes.js"
import { Conditions } from "./conditions.js"
import * as cursor from "./cursor.js"
import { type Database, defaultName, ofExpressions, onStorage, persistent, stored, together } from "./databases.js"
import * as matching from "./matching.js"
import { parseLua } from "./numbers.js"
import { divide, type Engine, type Given } from "./procedures/define.js"
import { procedures as builtIn } from "./procedures/index.js"
import * as records from "./records.js"
import { noCounts, report, status } from "./report.js"
import { none as noLog, withLog } from "./updateLog.js"

/** The numbers and words that the original has for errors. */
const codes: Partial<Record<KtError["reason"], readonly [code: number, message: string]>> = {
  CorruptContainer: [8, "logic"],
  InvalidArgument: [2, "invalid"],
  InvalidPattern: [8, "logic"],
  NoRecord: [7, "norec"],
  NotANumber: [8, "logic"],
  NotImplemented: [1, "noimpl"],
  Overflow: [8, "logic"]
}

/** The database of a call, which those of the protocol have among their parameters. */
const databaseOf = ({ db }: Call, { db: index }: Given): Reference =>
  index === undefined ? db ?? 0 : parseLua(latin1(index)) ?? latin1(index)

const asData = (parameters: NonNullable<Call["parameters"]>): ReadonlyArray<Pair> =>
  Object.entries(parameters).flatMap(([name, value]): ReadonlyArray<Pair> =>
    value === undefined ? [] : [[utf8(name), bytesOf(value)]]
  )

/** What an error says, or else what it is called. */
const told = (cause: unknown): string =>
  !(cause instanceof Error)
    ? String(cause)
    : cause.message !== ""
    ? cause.message
    : "_tag" in cause
    ? String(cause._tag)
    : cause.name

/** What a procedure of the user's fails with, as an error of ours. */
const failed = (name: string) => (cause: unknown): Failure =>
  cause instanceof KtError || cause instanceof StorageError || cause instanceof InvalidKey
    ? cause
    : new KtError({
      cause,
      detail: `it failed with ${told(cause)}; nothing was written`,
      method: name,
      reason: "ProcedureFailed"
    })

const build = <R>(
  opened: ReadonlyArray<Database>,
  { procedures = [], updateLog }: Options<R> = {}
): Effect.Effect<KtTransport["Type"], StorageError | KtError, R> =>
  Effect.gen(function*() {
    const { databases: recorded, log } = updateLog === undefined
      ? { databases: opened, log: noLog }
      : yield* withLog(opened, updateLog.serverId)
    const databases = recorded.map((database) =>
      database.isPersistent ? { ...database, keyspace: persistent(database.keyspace) } : database
    )
    const own = new Map(procedures.map((procedure) => [procedure.name, procedure]))
    const taken = procedures.find(({ name }) => builtIn.has(name))
    if (taken !== undefined) {
      return yield* Effect.fail(
        new KtError({
          detail: "there is a built-in procedure of this name, which containers use; choose another one",
          method: taken.name,
          reason: "InvalidArgument"
        })
      )
    }
    const provide = providing(yield* lastingContext<R>())
    const since = realMillis()
    const counts = noCounts()
    const conditions = new Conditions()
    let lastError = { code: 0, message: "success" }
    const engine: Engine = { lastError: () => lastError }

    const find = (reference: Reference): Database | undefined =>
      typeof reference === "number"
        ? databases[reference]
        : databases.findLast(({ name, path }) => name === reference || path === reference)

    const noDatabase = (reference: Reference): KtError =>
      new KtError({
        detail: `there is no database ${JSON.stringify(reference)}; there are ${
          databases.map(({ index, name }) => `${index} (${name})`).join(", ")
        }`,
        method: "database",
        reason: "NoDatabase"
      })

    const on = <A>(
      reference: Reference,
      use: (database: Database) => Effect.Effect<A, Failure>
    ): Effect.Effect<A, Failure> => {
      const database = find(reference)
      return database === undefined ? Effect.fail(noDatabase(reference)) : use(database)
    }

    const bulk = makeBulk((reference) => find(reference) ?? noDatabase(reference))

    /** `on`, for what may be refused: the error is remembered. */
    const trying = <A>(
      reference: Reference,
      use: (database: Database) => Effect.Effect<A, Failure>
    ): Effect.Effect<A, Failure> => noting(on(reference, use))

    const noting = <A>(self: Effect.Effect<A, Failure>): Effect.Effect<A, Failure> =>
      Effect.tapError(self, (error) =>
        Effect.sync(() => {
          const [code, message] = (error._tag === "KtError" ? codes[error.reason] : undefined) ?? [15, "misc"]
          lastError = { code, message }
        }))

    const counting = <A>(found: Option.Option<A>): Option.Option<A> => {
      counts.get++
      if (Option.isNone(found)) counts.get_misses++
      return found
    }
    const found = (entry: Option.Option<Storage.Entry<Uint8Array>>): Option.Option<Entry> =>
      counting(Option.map(entry, stored))
    const countingSet = (isSet: boolean): boolean => {
      counts.set++
      if (!isSet) counts.set_misses++
      return isSet
    }
    const written = <A>(self: Effect.Effect<A, Failure>, count = 1): Effect.Effect<A, Failure> =>
      Effect.map(self, (answer) => {
        counts.set += count
        return answer
      })
    const countingRemove = (isRemoved: boolean): boolean => {
      counts.remove++
      if (!isRemoved) counts.remove_misses++
      return isRemoved
    }

    /** Parameters are data to it, but for the database. */
    const callOwn = (procedure: Procedure<R>, call: Call): Effect.Effect<ReadonlyArray<Pair>, Failure> => {
      const { data, given } = divide(call, [])
      const all = call.parameters === undefined ? data : [...asData(call.parameters), ...data]
      return on(databaseOf(call, given), ({ index }) =>
        together(
          databases,
          Effect.mapError(
            Effect.catchAllDefect(Effect.suspend(() => provide(procedure.run(transport, all, index))), Effect.fail),
            failed(procedure.name)
          )
        ))
    }

    const call = (call: Call): Effect.Effect<ReadonlyArray<Pair>, Failure> => {
      counts.script++
      const procedure = own.get(call.name)
      if (procedure !== undefined) return callOwn(procedure, call)
      const known = builtIn.get(call.name)
      if (known === undefined) {
        return Effect.fail(
          new KtError({
            detail: "there is no such procedure; register it where the databases are opened",
            method: call.name,
            reason: "NoProcedure"
          })
        )
      }
      const { data, given } = divide(call, known.parameters)
      return on(databaseOf(call, given), (database) => known.run(given, data, database, engine))
    }

    const transport: KtTransport["Type"] = {
      get: (db, key) => on(db, ({ keyspace }) => Effect.map(keyspace.get(key), found)),
      getMany: (addresses) => Effect.map(bulk.getMany(addresses), (all) => all.map(counting)),
      head: (db, key) => on(db, ({ keyspace }) => Effect.map(keyspace.head(key), (found) => counting(found))),
      set: (db, key, value, expiry) => on(db, ({ keyspace }) => written(records.set(keyspace, key, value, expiry))),
      setMany: (items) => written(bulk.setMany(items), items.length),
      add: (db, key, value, expiry) =>
        on(db, ({ keyspace }) =>
          Effect.map(records.write(keyspace, key, value, expiry, (isThere) => !isThere), countingSet)),
      replace: (db, key, value, expiry) =>
        on(db, ({ keyspace }) =>
          Effect.map(
            records.write(keyspace, key, value, expiry, (isThere) =>
              isThere),
            countingSet
          )),
      append: (db, key, value, expiry) =>
        on(db, ({ keyspace }) => written(records.append(keyspace, key, value, expiry))),
      increment: (db, key, by, orig, expiry) =>
        trying(db, ({ keyspace }) => written(records.increment(keyspace, key, by, orig, expiry))),
      incrementDouble: (db, key, by, orig, expiry) =>
        trying(db, ({ keyspace }) => written(records.incrementDouble(keyspace, key, by, orig, expiry))),
      cas: (db, key, expected, next, expiry) =>
        on(db, ({ keyspace }) => Effect.map(records.cas(keyspace, key, expected, next, expiry), countingSet)),
      remove: (db, key) => on(db, ({ keyspace }) => Effect.map(keyspace.remove(key), countingRemove)),
      removeMany: (addresses) =>
        Effect.map(bulk.removeMany(addresses), (removed) => {
          counts.remove += addresses.length
          counts.remove_misses += addresses.length - removed
          return removed
        }),
      seize: (db, key) =>
        on(db, ({ keyspace }) =>
          Effect.map(keyspace.take({ from: key, through: key }, 1), ([entry]) =>
            found(Option.fromNullable(entry)))),
      touch: (db, keys, expiry) =>
        on(db, (database) =>
          together([database], records.touch(database.keyspace, keys, expiry))),
      touchRelative: (db, keys, millis) =>
        on(db, (database) => together([database], records.touchRelative(database.keyspace, keys, millis))),

      matchPrefix: (db, prefix, max) => on(db, ({ keyspace }) => matching.matchPrefix(keyspace, prefix, max)),
      matchRegex: (db, regex, max) => trying(db, ({ keyspace }) => matching.matchRegex(keyspace, regex, max)),
      matchSimilar: (db, origin, distance, of, max) =>
        on(db, ({ keyspace }) => matching.matchSimilar(keyspace, origin, distance, of, max)),
      entries: (db) => Stream.unwrap(on(db, ({ keyspace }) => Effect.succeed(Stream.map(keyspace.entries(), stored)))),
      keys: (db) => Stream.unwrap(on(db, ({ keyspace }) => Effect.succeed(keyspace.keys()))),
      cursor: (db) => on(db, (database) => Effect.sync(() => cursor.make(database))),

      call: (request) => noting(Effect.suspend(() => call(request))),

      wait: (condition, millis) => conditions.wait(condition, millis),
      signal: (condition, all) => Effect.sync(() => conditions.signal(condition, all)),

      clear: (db) =>
        on(db, (database) =>
          Effect.zipRight(
            database.keyspace.clear(),
            afterCommit(database.storage, () => {
              database.cleared++
            })
          )),
      synchronize: (db, hard) => on(db, ({ storage, sync }) => hard ? sync : storage.maintenance.flush),
      vacuum: (db) => on(db, ({ keyspace }) => Effect.asVoid(sweep(keyspace, {}))),
      status: (db) => on(db, status),
      databases: Effect.succeed(
        databases.map(({ index, isOrdered, name, path }) => ({ index, isOrdered, name, path }))
      ),
      report: Effect.suspend(() => report(databases, counts, since)),
      lastError: Effect.sync(engine.lastError),

      ulogList: log.list,
      ulogRemove: log.remove,
      changes: log.changes
    }
    return transport
  })

/** @internal */
export const makeOnStorage = <R>(
  names: ReadonlyArray<string> = [defaultName],
  options: Options<R> | undefined
): Effect.Effect<KtTransport["Type"], StorageError | KtError, Storage.Storage | R> =>
  Effect.flatMap(
    Storage.Storage,
    (storage) => Effect.flatMap(onStorage(storage, names), (databases) => build(databases, options))
  )

/** @internal */
export const makeOfExpressions = <R>(
  expressions: ReadonlyArray<string>,
  options: Options<R> | undefined
): Effect.Effect<KtTransport["Type"], StorageError | KtError, Scope.Scope | R> =>
  Effect.flatMap(ofExpressions(expressions), (databases) => build(databases, options))
