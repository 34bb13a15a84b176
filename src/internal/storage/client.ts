/**
 * From a `SqlClient` to `Access`: the one of `Sqlite.layer` brings its own, any other is reached through `reserve`.
 *
 * @internal
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { StorageError } from "../../StorageError.js"
import { Access, type Engine, type Guard, type Level } from "./access.js"
import type { Dialect, Kind } from "./dialect.js"
import { closedFault, failing, Fault } from "./fault.js"
import { Lender } from "./lender.js"
import { postgres } from "./postgres.js"
import { sqlite } from "./sqlite.js"

/** @internal */
export interface SqlAccess {
  readonly access: Access<Connection, SqlError>
  readonly dialect: Dialect
}

/**
 * One access for each client, however many Storages stand on it: they must pass the same gate and see the same
 * transactions. Keyed by `reserve`, which a client shares with what `withoutTransforms` derives from it.
 */
const accesses = new WeakMap<SqlClient.SqlClient["reserve"], SqlAccess>()

/** @internal */
export const registerAccess = (client: SqlClient.SqlClient, access: SqlAccess): void => {
  accesses.set(client.reserve, access)
}

const guarded = (connection: Connection, { end, failed }: Guard<SqlError>): Connection => {
  const guard = <A>(run: () => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    Effect.suspend(() => {
      const fault = end()
      return fault === undefined
        ? Effect.tapError(run(), failed)
        : Effect.fail(new SqlError({ cause: fault, message: fault.detail }))
    })
  return {
    execute: (sql, params, transformRows) => guard(() => connection.execute(sql, params, transformRows)),
    executeRaw: (sql, params) => guard(() => connection.executeRaw(sql, params)),
    executeStream: (sql, params, transformRows) => connection.executeStream(sql, params, transformRows),
    executeUnprepared: (sql, params, transformRows) =>
      guard(() => connection.executeUnprepared(sql, params, transformRows)),
    executeValues: (sql, params) => guard(() => connection.executeValues(sql, params))
  }
}

/**
 * The part of an engine that its dialect decides.
 *
 * @internal
 */
export const dialectCommands = (dialect: Dialect) => {
  const command = (text: string) => (connection: Connection) =>
    Effect.asVoid(dialect.compiling(connection).execute(text, [], undefined))
  return {
    begin: (connection: Connection, serializable: boolean) =>
      command(serializable ? dialect.beginSerializable : dialect.begin)(connection),
    careful: dialect.recompiling,
    classify: dialect.classify,
    coalesce: dialect.coalesce,
    commit: dialect.commit,
    guarded,
    isOpen: dialect.isOpen,
    single: dialect.single,
    system: dialect.system,
    release: (connection: Connection, name: string) => command(dialect.release(name))(connection),
    rollback: command(dialect.rollback),
    rollbackTo: (connection: Connection, name: string) => command(dialect.rollbackTo(name))(connection),
    savepoint: (connection: Connection, name: string) => command(dialect.savepoint(name))(connection)
  }
}

const ofSqlite: Kind = { ...sqlite, dialect: () => Effect.succeed(sqlite) }

const unsupported = (what: string) =>
  new StorageError({
    detail: `Storage runs on SQLite and PostgreSQL, and not on ${what}; provide a client of one of them, or ` +
      "Storage.layerMemory",
    method: "open",
    reason: "Unavailable"
  })

/** Its client says that it is SQLite, and gives its one connection to several at once. */
const libsql = Symbol.for("@effect/sql-libsql/LibsqlClient")

/**
 * The access that a client's stores use.
 *
 * @internal
 */
export const accessOf = (
  client: SqlClient.SqlClient,
  lockTimeout: Duration.Duration
): Effect.Effect<SqlAccess, StorageError, Scope.Scope> =>
  Effect.gen(function*() {
    const known = accesses.get(client.reserve)
    if (known !== undefined) return known
    const kind = yield* client.onDialectOrElse({
      orElse: (): Effect.Effect<Kind, StorageError> => Effect.fail(unsupported("this database")),
      pg: () => Effect.succeed(postgres(lockTimeout)),
      sqlite: () => libsql in client ? Effect.fail(unsupported("libSQL")) : Effect.succeed(ofSqlite)
    })
    const runtime = yield* Effect.runtime<never>()
    const lender = new Lender(client.reserve, runtime, !kind.single)
    const [own, dialect] = yield* Effect.mapError(
      Effect.uninterruptibleMask((restore) =>
        lender.use((connection) => Effect.zip(Effect.succeed(connection), kind.dialect(connection)), {
          onFailure: Effect.failCause,
          onSuccess: Effect.succeed
        }, () => ({
          millis: Duration.toMillis(lockTimeout),
          onTimeout: () => new Fault("Busy", `the client had no connection free for ${Duration.format(lockTimeout)}`),
          restore
        }))
      ),
      (error) => failing("open")(error instanceof Fault ? error : kind.classify(error))
    )
    // Another Storage may have been here while this one waited for the connection.
    const other = accesses.get(client.reserve)
    if (other !== undefined) return other
    const made = { access: new Access(bareEngine(lender, dialect, own, lockTimeout), runtime), dialect }
    accesses.set(client.reserve, made)
    return made
  })

const beganOf = (answers: ReadonlyArray<unknown>): unknown => {
  const row = answers.flat().at(-1)
  return typeof row === "object" && row !== null && "began" in row ? row.began : ""
}

const bareEngine = (
  lender: Lender,
  dialect: Dialect,
  own: Connection,
  lockTimeout: Duration.Duration
): Engine<Connection, SqlError> => {
  const prototype = Object.getPrototypeOf(own)
  const isOwn = (connection: Connection): boolean =>
    connection === own || (prototype !== Object.prototype && Object.getPrototypeOf(connection) === prototype)
  // The user's transactions, by the value that stands for each of them in the context.
  const joined = new WeakMap<object, Level<Connection>>()
  // Those that may still be open. Who is given the only connection outside of any transaction knows that they are over.
  const open = new Set<Level<Connection>>()
  const endOthers = () => {
    for (const level of open) level.ended = true
    open.clear()
  }
  // When the transaction began that a level is of. A user's may be over, and its connection be in another.
  const began = new WeakMap<Connection, unknown>()
  const commands = dialectCommands(dialect)
  return {
    ...commands,
    enter: (context, { connection, depth }) =>
      Context.add(context, SqlClient.TransactionConnection, [connection, depth]),
    exclusive: (self, settle, wait) => {
      const alone = (connection: Connection) => {
        endOthers()
        return self(connection)
      }
      return lender.use(alone, settle, wait)
    },
    joined: (context, makeLevel) => {
      const transaction: readonly [Connection, number] | undefined = context.unsafeMap.get(
        SqlClient.TransactionConnection.key
      )
      if (transaction === undefined || !isOwn(transaction[0])) return undefined
      let level = joined.get(transaction)
      if (level === undefined) {
        // A new outermost transaction has the only connection, so those before it are over.
        if (dialect.single && transaction[1] === 0) endOthers()
        joined.set(transaction, level = makeLevel(dialect.recompiling(transaction[0])))
        if (dialect.single) open.add(level)
      }
      return level
    },
    lockTimeout,
    savepoint: (connection, name) =>
      Effect.flatMap(dialect.compiling(connection).execute(dialect.savepoint(name), [], undefined), (answers) => {
        const now = beganOf(answers)
        const before = began.get(connection) ?? now
        began.set(connection, before)
        return now === before ? Effect.void : Effect.zipRight(
          Effect.ignore(commands.release(connection, name)),
          Effect.fail(new SqlError({ cause: closedFault, message: closedFault.detail }))
        )
      }),
    rollback: (connection) =>
      Effect.tapError(commands.rollback(connection), () => Effect.sync(() => lender.spoil(connection)))
  }
}
