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
import * as Stream from "effect/Stream"
import { StorageError } from "../../StorageError.js"
import { Access, type Engine, type Guard, type Level } from "./access.js"
import type { Dialect, Kind } from "./dialect.js"
import { closedFault, failing, Fault } from "./fault.js"
import { Gate } from "./gate.js"
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

/** @internal */
export const toSqlError = (fault: Fault): SqlError =>
  fault.cause instanceof SqlError ? fault.cause : new SqlError({ cause: fault, message: fault.detail })

const guarded = (connection: Connection, { end, failed }: Guard<SqlError>): Connection => {
  const guard = <A>(run: () => Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    Effect.suspend(() => {
      const fault = end()
      return fault === undefined ? Effect.tapError(run(), failed) : Effect.fail(toSqlError(fault))
    })
  return {
    execute: (sql, params, transformRows) => guard(() => connection.execute(sql, params, transformRows)),
    executeRaw: (sql, params) => guard(() => connection.executeRaw(sql, params)),
    executeStream: (sql, params, transformRows) =>
      Stream.tapError(connection.executeStream(sql, params, transformRows), failed),
    executeUnprepared: (sql, params, transformRows) =>
      guard(() => connection.executeUnprepared(sql, params, transformRows)),
    executeValues: (sql, params) => guard(() => connection.executeValues(sql, params))
  }
}

/**
 * The connection for the user's own statements: each passes the gate of the transaction that its fiber is in, or of the
 * only connection.
 *
 * @internal
 */
export const gatedConnection = (access: Access<Connection, SqlError>, dialect: Dialect): Connection => {
  const run = <A>(body: (connection: Connection) => Effect.Effect<A, SqlError>) => access.statement(body, toSqlError)
  return {
    execute: (sql, params, transformRows) => run((_) => _.execute(sql, params, transformRows)),
    executeRaw: (sql, params) => run((_) => _.executeRaw(sql, params)),
    executeStream: (sql, params, transformRows) =>
      dialect.single
        // The driver has no streams: the rows of one statement are read at once.
        ? Stream.fromIterableEffect(run((_) => _.execute(sql, params, transformRows)))
        // It begins in its turn. What it reads later waits for nobody.
        : Stream.unwrap(run((_) => Effect.succeed(_.executeStream(sql, params, transformRows)))),
    executeUnprepared: (sql, params, transformRows) =>
      run((_) => dialect.compiling(_).execute(sql, params, transformRows)),
    executeValues: (sql, params) => run((_) => _.executeValues(sql, params))
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
    isLost: (error: unknown) => error instanceof SqlError && dialect.classify(error).reason === "Busy",
    savepoint: (connection: Connection, name: string) => Effect.asVoid(dialect.savepoint(connection, name))
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
    const access: Access<Connection, SqlError> = new Access({
      ...bareEngine(lender, dialect, own, lockTimeout),
      enter: (context, { depth }) => Context.add(context, SqlClient.TransactionConnection, [gated, depth])
    }, runtime)
    const gated = gatedConnection(access, dialect)
    const made = { access, dialect }
    accesses.set(client.reserve, made)
    return made
  })

const bareEngine = (
  lender: Lender,
  dialect: Dialect,
  own: Connection,
  lockTimeout: Duration.Duration
): Omit<Engine<Connection, SqlError>, "enter"> => {
  const prototype = Object.getPrototypeOf(own)
  const isOwn = (connection: Connection): boolean =>
    connection === own || (prototype !== Object.prototype && Object.getPrototypeOf(connection) === prototype)
  // The user's transactions, by the value that stands for each of them in the context; nested ones have a connection in
  // common, on which savepoints must not cross.
  const joined = new WeakMap<object, Level<Connection>>()
  const gates = new WeakMap<Connection, Gate>()
  // Those that may still be open. Who is given the only connection outside of any transaction knows that they are over.
  const open = new Set<Level<Connection>>()
  const endOthers = () => {
    for (const level of open) level.ended = true
    open.clear()
  }
  // The transaction that a level is of. A user's may be over, and its connection be in another.
  const transactions = new WeakMap<Connection, string>()
  const commands = dialectCommands(dialect)
  /** A connection of which nobody knows whether a transaction is open on it is brought out of that, or lost. */
  const orSpoil = <A>(connection: Connection, self: Effect.Effect<A, SqlError>) =>
    Effect.tapError(self, () => Effect.sync(() => lender.spoil(connection, commands.rollback(connection))))
  return {
    ...commands,
    begin: (connection, serializable) => orSpoil(connection, commands.begin(connection, serializable)),
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
        const [connection] = transaction
        const gate = gates.get(connection) ?? new Gate()
        gates.set(connection, gate)
        joined.set(transaction, level = makeLevel(dialect.recompiling(connection), gate))
        if (dialect.single) open.add(level)
      }
      return level
    },
    lockTimeout,
    rollback: (connection) => orSpoil(connection, commands.rollback(connection)),
    savepoint: (connection, name) =>
      Effect.flatMap(dialect.savepoint(connection, name), (now) => {
        const before = transactions.get(connection) ?? now
        transactions.set(connection, before)
        return now === before ? Effect.void : Effect.zipRight(
          Effect.ignore(commands.release(connection, name)),
          Effect.fail(toSqlError(closedFault))
        )
      })
  }
}
