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
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import { StorageError } from "../../StorageError.js"
import { Access, type Engine, type Guard, type Level } from "./access.js"
import { waitFor } from "./compat.js"
import type { Dialect } from "./dialect.js"
import { failing, Fault } from "./fault.js"
import type { Settle, Wait } from "./gate.js"
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
    const dialect = yield* client.onDialectOrElse({
      orElse: () =>
        Effect.fail(
          new StorageError({
            detail: "Storage runs on SQLite and PostgreSQL; provide a client of one of them or Storage.layerMemory",
            method: "open",
            reason: "Unavailable"
          })
        ),
      pg: () => Effect.succeed(postgres(lockTimeout)),
      sqlite: () => Effect.succeed(sqlite)
    })
    const runtime = yield* Effect.runtime<never>()
    const own = yield* Effect.mapError(
      Effect.uninterruptibleMask((restore) =>
        borrowing(client, runtime, Effect.succeed, { onFailure: Effect.failCause, onSuccess: Effect.succeed }, {
          millis: Duration.toMillis(lockTimeout),
          onTimeout: () => new Fault("Busy", `the client had no connection free for ${Duration.format(lockTimeout)}`),
          restore
        })
      ),
      (error) => failing("open")(error instanceof Fault ? error : dialect.classify(error))
    )
    // Another Storage may have been here while this one waited for the connection.
    const other = accesses.get(client.reserve)
    if (other !== undefined) return other
    const made = { access: new Access(bareEngine(client, dialect, own, lockTimeout, runtime), runtime), dialect }
    accesses.set(client.reserve, made)
    return made
  })

/**
 * A connection of the client's for as long as the scope is open. The wait for one ends with the time-out or an
 * interruption; then a connection that comes later is given back.
 *
 * The client is never interrupted in that: PostgreSQL's loses a connection that nobody waits for any more.
 */
const reserved = <E>(
  client: SqlClient.SqlClient,
  runtime: Runtime.Runtime<never>,
  scope: Scope.CloseableScope,
  { millis, onTimeout, restore }: Wait<E>
): Effect.Effect<Exit.Exit<Connection, SqlError>, E> =>
  Effect.suspend(() => {
    let arrived: Exit.Exit<Connection, SqlError> | undefined
    let wake: (() => void) | undefined
    let isOver = false
    Runtime.runFork(runtime)(Scope.extend(client.reserve, scope)).addObserver((exit) => {
      arrived = exit
      if (isOver) Runtime.runFork(runtime)(Scope.close(scope, Exit.void))
      wake?.()
    })
    if (arrived !== undefined) return Effect.succeed(arrived)
    const giveUp = Effect.suspend(() => {
      isOver = true
      return arrived === undefined ? Effect.void : Scope.close(scope, Exit.void)
    })
    const arrival = waitFor(millis, (done) => {
      if (arrived === undefined) wake = done
      else done()
    })
    return Effect.matchCauseEffect(restore(arrival), {
      onFailure: (cause) => Effect.zipRight(giveUp, Effect.failCause(cause)),
      onSuccess: () =>
        arrived === undefined ? Effect.zipRight(giveUp, Effect.fail(onTimeout())) : Effect.succeed(arrived)
    })
  })

/** Runs `self` with a connection of the client's, gives it back, then settles. */
const borrowing = <A, R, B, E>(
  client: SqlClient.SqlClient,
  runtime: Runtime.Runtime<never>,
  self: (connection: Connection) => Effect.Effect<A, SqlError | Fault, R>,
  settle: Settle<A, SqlError | Fault, B, E, R>,
  wait: Wait<E>
): Effect.Effect<B, E, R> =>
  Effect.flatMap(Scope.make(), (scope) => {
    const close = Scope.close(scope, Exit.void)
    return Effect.flatMap(reserved(client, runtime, scope, wait), (arrived) =>
      Effect.matchCauseEffect(Effect.flatMap(arrived, self), {
        onFailure: (cause) =>
          Effect.zipRight(close, settle.onFailure(cause)),
        onSuccess: (value) => Effect.zipRight(close, settle.onSuccess(value))
      }))
  })

const bareEngine = (
  client: SqlClient.SqlClient,
  dialect: Dialect,
  own: Connection,
  lockTimeout: Duration.Duration,
  runtime: Runtime.Runtime<never>
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
  return {
    ...dialectCommands(dialect),
    enter: (context, { connection, depth }) =>
      Context.add(context, SqlClient.TransactionConnection, [connection, depth]),
    exclusive: (self, settle, wait) => {
      const alone = (connection: Connection) => {
        endOthers()
        return self(connection)
      }
      return borrowing(client, runtime, alone, settle, wait())
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
    lockTimeout
  }
}
