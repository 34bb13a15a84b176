/**
 * The client that `Sqlite.layer` provides: a facade over the one connection of a `SqliteClient`, on which the user's
 * statements and every store pass the same gate and share the same transactions.
 *
 * @internal
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as SqliteClient from "@effect/sql-sqlite-node/SqliteClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type * as Scope from "effect/Scope"
import type { Options } from "../../Sqlite.js"
import type { StorageError } from "../../StorageError.js"
import { Access } from "../storage/access.js"
import { dialectCommands, gatedConnection, registerAccess, toSqlError } from "../storage/client.js"
import { durationSetting } from "../storage/duration.js"
import { failing, Fault } from "../storage/fault.js"
import { acquire, Gate, hold } from "../storage/gate.js"
import { classify, sqlite } from "../storage/sqlite.js"
import * as path from "./path.js"
import * as pragmas from "./pragmas.js"

/** How many compiled statements are kept; they are never too old. */
const prepared = { prepareCacheSize: 1000, prepareCacheTTL: Duration.infinity }

/**
 * What an error of this client means.
 *
 * @internal
 */
export const toFault = (error: SqlError): Fault => sqlite.classify(error)

/** @internal */
export const make = (
  options: Options
): Effect.Effect<SqliteClient.SqliteClient, StorageError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const file = path.resolve(options.filename)
    const readonly = options.readonly === true
    if (options.filename === "") {
      return yield* Effect.fail(
        new Fault("Unavailable", `the filename is empty; name a file, or "${path.memory}" for a database in memory`)
      )
    }
    if (file !== path.memory && !readonly) yield* path.prepare(file)

    const inner = yield* open({ ...prepared, disableWAL: true, filename: file, readonly }).pipe(
      Effect.mapError((fault) => path.explain(file, readonly, fault))
    )
    const connection = yield* Effect.mapError(Effect.scoped(inner.reserve), (error) => classify(error.cause, error))
    const careful = sqlite.recompiling(connection)

    const gate = new Gate()
    const lockTimeout = yield* durationSetting("lockTimeout", options.lockTimeout ?? "5 seconds")
    const access = new Access<Connection, SqlError>({
      ...dialectCommands(sqlite),
      careful: () => careful,
      enter: (context, { depth }) => Context.add(context, SqlClient.TransactionConnection, [gated, depth]),
      exclusive: (self, settle, wait) => hold(gate, () => self(connection), settle, wait),
      joined: () => undefined,
      lockTimeout
    }, yield* Effect.runtime<never>())

    const gated = gatedConnection(access, sqlite)

    yield* pragmas.apply(
      { ...options, filename: file },
      (body) => access.run(body, identity, { fail: identity<Fault> })
    ).pipe(
      Effect.mapError((fault) => path.explain(file, readonly, fault))
    )

    // Also for the client's own members, which do not go through a connection that we know.
    const alone = <A>(effect: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
      access.run(() => effect, identity, { fail: toSqlError })

    const reserve = Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(access.level, (level) => {
        const reserved = level?.gate ?? gate
        return acquire(reserved, {
          millis: Duration.toMillis(lockTimeout),
          onTimeout: () => new SqlError({ message: "The connection was not free within the lock time-out" }),
          restore
        }).pipe(
          Effect.zipRight(Effect.addFinalizer(() => Effect.sync(() => reserved.release()))),
          Effect.zipRight(Effect.mapError(access.check(level), toSqlError)),
          Effect.as(level?.connection ?? careful)
        )
      })
    )

    const client = Object.assign(
      // The type says that SQLite lacks `updateValues`; the member is there, as it is in the inner client.
      (yield* SqlClient.make({
        acquirer: Effect.succeed(gated),
        compiler: Statement.makeCompilerSqlite(),
        spanAttributes: [["db.system.name", sqlite.system]],
        transactionAcquirer: reserve
      })) as SqliteClient.SqliteClient,
      {
        [SqliteClient.TypeId]: SqliteClient.TypeId as SqliteClient.TypeId,
        backup: (destination: string) => alone(inner.backup(destination)),
        config: inner.config,
        export: alone(inner.export),
        loadExtension: (file: string) => alone(inner.loadExtension(file)),
        withTransaction: <A, E, R>(self: Effect.Effect<A, E, R>) =>
          access.transaction(self, { fail: toSqlError, method: "transaction" })
      }
    )
    registerAccess(client, { access, dialect: sqlite })
    yield* Effect.addFinalizer(() => close(access, connection, readonly, options.optimizeOnClose !== false))
    return client
  }).pipe(Effect.mapError(failing("open")))

/** The driver's constructor throws; here it fails. */
const open = (
  config: SqliteClient.SqliteClientConfig
): Effect.Effect<SqliteClient.SqliteClient, Fault, Scope.Scope | Reactivity.Reactivity> =>
  Effect.catchAllDefect(SqliteClient.make(config), (defect) => Effect.fail(classify(defect)))

/** What is queued is written, the planner's statistics are brought up to date, the WAL is emptied. */
const close = (
  access: Access<Connection, SqlError>,
  connection: Connection,
  readonly: boolean,
  optimize: boolean
): Effect.Effect<void> => {
  const pragma = (text: string) =>
    Effect.ignore(
      access.run(() => sqlite.compiling(connection).execute(text, [], undefined), identity, { fail: identity<Fault> })
    )
  return access.flush.pipe(
    Effect.zipRight(optimize && !readonly ? pragma(optimizePragma) : Effect.void),
    Effect.zipRight(readonly ? Effect.void : pragma("PRAGMA wal_checkpoint(TRUNCATE)")),
    Effect.zipRight(access.close)
  )
}

/**
 * Analyses, within a bound, every table whose statistics are missing or old, whether this connection queried it or not.
 *
 * @internal
 */
export const optimizePragma = "PRAGMA optimize = 0x10012"
