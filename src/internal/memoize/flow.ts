/**
 * What becomes of a call, once it is known what is stored: it is answered by that, or by the function; answers are
 * stored, and failures have stale answers stand in for them. The same for one call and for many.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { CodecError } from "../../Codec.js"
import type { Trouble } from "../../Memoize.js"
import { isDone } from "../done.js"
import { withNow } from "../storage/compat.js"
import { outsideTransactions } from "../storage/transactions.js"
import { detached } from "../store/flights.js"
import { makeTroubles } from "../store/troubles.js"
import type { Call } from "./calls.js"
import type { Entry } from "./entry.js"
import type { Parts } from "./parts.js"
import { type Known, makeReading } from "./reading.js"
import { makeWriting } from "./writing.js"

/**
 * A call that the function has to answer, or several, and the answer of each.
 *
 * @internal
 */
export type Lookup<Args, A, E> = (
  calls: ReadonlyArray<Call<Args>>
) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E>>>

/**
 * A call, and what is stored for it.
 *
 * @internal
 */
export interface Asked<Args> {
  readonly call: Call<Args>
  readonly known: Known
  /** Asked for whatever is stored, which therefore is not known. */
  readonly isRefresh?: boolean
}

/**
 * How calls fail by troubles, if they do.
 *
 * @internal
 */
export interface Failing<X> {
  readonly onMisfit?: ((error: CodecError) => Effect.Effect<never, X>) | undefined
  readonly onTrouble?: ((error: Trouble) => Effect.Effect<never, X>) | undefined
}

/**
 * For what cannot be.
 *
 * @internal
 */
export const unanswered = Exit.die(new Error("effect-kv: a call was left out of its batch"))

/** The failure of a cause in which there is no defect and no interruption. */
const failureOf = <E>(cause: Cause.Cause<E>): Option.Option<E> =>
  Chunk.isEmpty(Cause.defects(cause)) && !Cause.isInterrupted(cause) ? Cause.failureOption(cause) : Option.none()

/**
 * Tells the span of a call what became of it.
 *
 * @internal
 */
export const marking = (outcome: "hit" | "stale" | "miss" | "collapsed"): Effect.Effect<void> =>
  Effect.annotateCurrentSpan("effect_kv.memo.outcome", outcome)

const marked = <A, E, R>(
  { isTraced }: { readonly isTraced: boolean },
  outcome: "hit" | "stale" | "miss",
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => isTraced ? Effect.zipRight(marking(outcome), self) : self

/** @internal */
export const makeFlow = <Args extends ReadonlyArray<unknown>, A, E, F, X>(
  parts: Parts<Args, A, F>,
  lookup: Lookup<Args, A, E>,
  failing: Failing<X>,
  scope: Scope.Scope
) => {
  const { bounds, count, flights, isStorable, memory, settings, versions } = parts
  const reading = makeReading(parts)
  const writing = makeWriting(parts, reading)
  const { over, tolerate } = makeTroubles<Trouble, X>(
    `a call of the memoised function ${parts.name} goes through and is not stored`,
    () => count.errors(1),
    failing.onTrouble
  )

  /** A stale answer in place of something else. */
  const standIn = <E2>(
    call: Call<Args>,
    known: Known,
    otherwise: Effect.Effect<A, E2>
  ): Effect.Effect<A, E2 | F> => {
    const { entry } = known
    return entry === undefined ? otherwise : Effect.matchEffect(reading.decode(call, entry), {
      onFailure: () => otherwise,
      onSuccess: (exit): Effect.Effect<A, E2 | F> => {
        count.staleHits(1)
        return marked(call, "stale", exit)
      }
    })
  }

  /** A failure: a stale answer stands in for it, and the function is left alone for a while. */
  const orStale = (
    { call, known }: Asked<Args>,
    exit: Exit.Exit<A, E>
  ): Effect.Effect<Exit.Exit<A, E | F | X>> => {
    const { entry } = known
    const failure = Exit.isSuccess(exit) ? Option.none() : failureOf(exit.cause)
    if (Option.isNone(failure) || isStorable(failure.value) || entry === undefined) return Effect.succeed(exit)
    const resting = Effect.catchAll(writing.rest(call, entry), (error) => tolerate(error, Effect.void))
    return Effect.zipRight(
      Effect.ignore(resting),
      withNow((now) => reading.isFallback(known, now) ? Effect.exit(standIn(call, known, exit)) : Effect.succeed(exit))
    )
  }

  /** The answers that are stored: successes, and failures of the schema. */
  const storable = (exit: Exit.Exit<A, E>): ReadonlyArray<Exit.Exit<A, F>> => {
    if (Exit.isSuccess(exit)) return [Exit.succeed(exit.value)]
    const failure = failureOf(exit.cause)
    return Option.isSome(failure) && isStorable(failure.value) ? [Exit.fail(failure.value)] : []
  }

  /** Has the function answer calls, and stores what it does. */
  const compute = (
    asked: ReadonlyArray<Asked<Args>>
  ): Effect.Effect<ReadonlyArray<Exit.Exit<A, E | F | X>>, X> =>
    Effect.gen(function*() {
      const moment = memory?.moment ?? 0
      // Before the function is called: what is invalidated from then on was not known to it.
      const version = yield* Effect.catchAll(versions.current, (error) => tolerate(error, Effect.succeed(undefined)))
      const start = yield* Clock.currentTimeMillis
      const exits = yield* lookup(asked.map(({ call }) => call))
      const lookupMillis = Math.max(0, (yield* Clock.currentTimeMillis) - start)
      count.lookupTime(lookupMillis)
      const answers = asked.map((one, i) => ({ ...one, exit: exits[i] ?? unanswered }))
      if (version !== undefined) {
        yield* writing.store(answers.flatMap(({ call, exit, isRefresh, known }) =>
          storable(exit).map((exit) => ({
            call,
            exit,
            lookupMillis,
            moment,
            replaces: isRefresh === true || known.entry !== undefined,
            version
          }))
        )).pipe(Effect.matchEffect({
          onFailure: (error) => tolerate(error, Effect.void),
          onSuccess: (stored) =>
            Effect.sync(() => {
              if (stored > 0) over()
            })
        }))
      }
      return yield* Effect.forEach(answers, ({ exit, ...one }) => orStale(one, exit))
    })

  /** Calls whose answers are being computed in the background. */
  const refreshing = new Set<string>()

  /** Has answers be computed in the background, each once. */
  const background = (
    asked: ReadonlyArray<Call<Args>>,
    fly: Effect.Effect<unknown, unknown>,
    isRefresh = true
  ): Effect.Effect<void> =>
    Effect.uninterruptible(Effect.suspend(() => {
      const calls = asked.filter(({ key, situation }) => situation !== "transaction" && !refreshing.has(key))
      if (calls.length === 0) return Effect.void
      for (const { key } of calls) refreshing.add(key)
      if (isRefresh) count.refreshes(calls.filter(({ key }) => !flights.isFlying(key)).length)
      const ending = Effect.sync(() => {
        for (const { key } of calls) refreshing.delete(key)
      })
      const flying = Effect.ensuring(Effect.interruptible(Effect.exit(outsideTransactions(detached(fly)))), ending)
      return Effect.asVoid(Effect.forkIn(flying, scope))
    }))

  /** What to do with a call. */
  interface Ways<B, E2> {
    readonly refresh: (call: Call<Args>, known: Known) => Effect.Effect<void>
    readonly fly: (call: Call<Args>, known: Known) => Effect.Effect<B, E2>
  }

  /** XFetch: early by a time that is the longer the longer the function took, and left to chance. */
  const isEarly = (
    { freshUntil, lookupMillis }: Pick<Entry, "freshUntil" | "lookupMillis">,
    now: number
  ): Effect.Effect<boolean> =>
    Effect.map(Random.next, (random) => now - lookupMillis * settings.beta * Math.log(random) >= freshUntil)

  /** Answers a call by what is stored, or has the function called. */
  const decide = <B, E2>(
    call: Call<Args>,
    known: Known,
    moment: number,
    { fly, refresh }: Ways<B, E2>
  ): Effect.Effect<A | B, E2 | F | X> =>
    withNow((now) => {
      const { entry } = known
      const judgement = reading.judge(known, now)
      const miss = (known: Known): Effect.Effect<B, E2> => {
        count.misses(1)
        return marked(call, "miss", fly(call, known))
      }
      if (entry === undefined || judgement === "none" || judgement === "fallback") return miss(known)
      const misfit = (error: CodecError): Effect.Effect<B, E2 | X> =>
        failing.onMisfit?.(error) ?? miss({ ...known, entry: undefined, isSoft: false })
      const serve = (exit: Exit.Exit<A, F>): Effect.Effect<A, F> => {
        bounds?.used(call.key, now)
        if (judgement === "fresh") {
          count.hits(1)
          reading.hold(call, entry, exit, now, moment)
          const hit = marked(call, "hit", exit)
          return settings.beta === 0 || now < entry.retryAt ? hit : Effect.flatMap(
            isEarly(entry, now),
            (early) => early ? Effect.zipRight(refresh(call, known), hit) : hit
          )
        }
        count.staleHits(1)
        const hit = marked(call, "stale", exit)
        return judgement === "revalidate" ? Effect.zipRight(refresh(call, known), hit) : hit
      }
      const decoded = reading.decode(call, entry)
      return isDone(decoded) && Exit.isSuccess(decoded)
        ? serve(decoded.value)
        : Effect.matchEffect(decoded, { onFailure: misfit, onSuccess: serve })
    })

  /** Waits for the function, and if it is slow has a stale answer stand in for it, while the function goes on. */
  const patiently = <E2>(
    call: Call<Args>,
    known: Known,
    flight: Effect.Effect<A, E2>
  ): Effect.Effect<A, E2 | F> =>
    settings.softTimeout === undefined || call.situation === "transaction"
      ? flight
      : withNow((now) =>
        reading.isFallback(known, now)
          ? Effect.zipRight(
            background([call], flight, false),
            Effect.flatten(Effect.timeoutTo(Effect.exit(flight), {
              duration: Duration.millis(settings.softTimeout ?? 0),
              onSuccess: (exit): Effect.Effect<A, E2 | F> => exit,
              onTimeout: () => standIn(call, known, flight)
            }))
          )
          : flight
      )

  return { background, compute, decide, isEarly, patiently, reading, tolerate }
}
