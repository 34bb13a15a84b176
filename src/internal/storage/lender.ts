/**
 * Connections of a client, each lent for one piece of work.
 *
 * Asking a pool for a connection costs as much as a small statement. So what is given back is kept until the event loop
 * turns, for the work that follows at once; but not for long, as the user's own SQL stands in line at the pool.
 *
 * @internal
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import { onNextTurn, realMillis, waitFor } from "./compat.js"
import { type Fault, messageOf } from "./fault.js"
import type { Settle, Wait } from "./gate.js"

interface Loan {
  readonly connection: Connection
  readonly scope: Scope.CloseableScope
  /** `realMillis`. */
  readonly since: number
}

/** After how many milliseconds a connection goes back to its client, whoever asks for one here. */
const longestLoan = 50

/** @internal */
export class Lender {
  private readonly kept: Array<Loan> = []
  private isTurnAwaited = false
  private readonly spoiled = new Map<Connection, Effect.Effect<void, SqlError>>()

  constructor(
    private readonly reserve: SqlClient.SqlClient["reserve"],
    private readonly runtime: Runtime.Runtime<never>,
    /** Whether the client has more than one connection. */
    private readonly isPool: boolean
  ) {}

  /** Runs `self` with a connection to itself, then settles. To be called in an uninterruptible region. */
  use<A, R, B, E>(
    self: (connection: Connection) => Effect.Effect<A, SqlError | Fault, R>,
    settle: Settle<A, SqlError | Fault, B, E, R>,
    wait: () => Wait<E>
  ): Effect.Effect<B, E, R> {
    const lend = (loan: Loan) =>
      Effect.matchCauseEffect(Effect.suspend(() => self(loan.connection)), {
        onFailure: (cause) => Effect.zipRight(this.end(loan), settle.onFailure(cause)),
        onSuccess: (value) =>
          this.keep(loan) ? settle.onSuccess(value) : Effect.zipRight(this.end(loan), settle.onSuccess(value))
      })
    const kept = this.kept.pop()
    return kept !== undefined ? lend(kept) : Effect.flatMap(
      this.borrow(wait()),
      (arrived) => Exit.isSuccess(arrived) ? lend(arrived.value) : settle.onFailure(arrived.cause)
    )
  }

  /** Has the connection go nowhere before `repair` has succeeded, as nobody knows what state it is in. */
  spoil(connection: Connection, repair: Effect.Effect<void, SqlError>): void {
    if (this.isPool) this.spoiled.set(connection, repair)
  }

  private borrow<E>(wait: Wait<E>): Effect.Effect<Exit.Exit<Loan, SqlError>, E> {
    return Effect.flatMap(Scope.make(), (scope) =>
      this.isPool ? this.borrowFromPool(scope, wait) : Effect.exit(
        Effect.map(
          // It is the client's wait: without a time-out.
          Effect.onError(wait.restore(Scope.extend(this.reserve, scope)), () => Scope.close(scope, Exit.void)),
          (connection): Loan => ({ connection, scope, since: realMillis() })
        )
      ))
  }

  /**
   * The wait ends with the time-out or an interruption; then a connection that comes later is given back at once. The
   * client is never interrupted in that: PostgreSQL's loses a connection that nobody waits for any more.
   */
  private borrowFromPool<E>(
    scope: Scope.CloseableScope,
    { millis, onTimeout, restore }: Wait<E>
  ): Effect.Effect<Exit.Exit<Loan, SqlError>, E> {
    return Effect.suspend(() => {
      let arrived: Exit.Exit<Loan, SqlError> | undefined
      let wake: (() => void) | undefined
      let isOver = false
      Runtime.runFork(this.runtime)(Scope.extend(this.reserve, scope)).addObserver((exit) => {
        arrived = Exit.map(exit, (connection) => ({ connection, scope, since: realMillis() }))
        if (isOver) Runtime.runFork(this.runtime)(Scope.close(scope, Exit.void))
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
  }

  private keep(loan: Loan): boolean {
    if (!this.isPool || this.spoiled.has(loan.connection) || realMillis() - loan.since > longestLoan) return false
    this.kept.push(loan)
    if (!this.isTurnAwaited) {
      this.isTurnAwaited = true
      onNextTurn(() => {
        this.isTurnAwaited = false
        for (const loan of this.kept.splice(0)) Runtime.runFork(this.runtime)(this.end(loan))
      })
    }
    return true
  }

  private end({ connection, scope }: Loan): Effect.Effect<void> {
    return Effect.suspend(() => {
      const repair = this.spoiled.get(connection)
      this.spoiled.delete(connection)
      const close = Scope.close(scope, Exit.void)
      if (repair === undefined) return close
      const attempt: Effect.Effect<void> = Effect.catchAll(
        repair,
        (error) => isDead(error) ? Effect.void : Effect.zipRight(waitFor(repairPause), attempt)
      )
      return Effect.sync(() => void Runtime.runFork(this.runtime)(Effect.zipRight(attempt, close)))
    })
  }
}

const repairPause = 50

/** What the driver says of a connection that has ended. The pool lets it go. */
const isDead = ({ cause }: SqlError): boolean => /terminated|not queryable|closed/.test(messageOf(cause))
