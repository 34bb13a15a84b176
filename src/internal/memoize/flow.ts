/**
 * What becomes of a call, once it is known what is stored: it is answered by that, or by the function; answers are
 * stored, and failures have stale answers stand in for them. The same for one call and for many.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type { CodecError } from "../../Codec.js"
import { isDone } from "../done.js"
import { withNow } from "../storage/compat.js"
import { outsideTransactions } from "../storage/transactions.js"
import type { Flights } from "../store/flights.js"
import type { Call } from "./calls.js"
import type { Entry } from "./entry.js"
import type { Parts } from "./parts.js"
import { type Known, makeReading } from "./reading.js"
import { type Failing, makeTroubles } from "./troubles.js"
import { type Answered, makeWriting } from "./writing.js"

/**
 * A call that the function has to answer, or several, and the answer of each.
 *
 * @internal
 */
export type Lookup<Args, A, E> = (
  calls: ReadonlyArray<Call<Args>>
) => Effect.Effect<ReadonlyArray<Exit.Exit<A, E>>>

/** The one failure of a cause that is nothing else. */
const failureOf = <E>(cause: Cause.Cause<E>): Option.Option<E> =>
  Chunk.isEmpty(Cause.defects(cause)) && !Cause.isInterrupted(cause) ? Cause.failureOption(cause) : Option.none()

/**
 * Tells the span of a call, if there is one, what became of it.
 *
 * @internal
 */
export const marked = <A, E, R>(
  { isTraced }: { readonly isTraced: boolean },
  outcome: "hit" | "stale" | "miss",
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  isTraced ? Effect.zipRight(Effect.annotateCurrentSpan("effect_kv.memo.outcome", outcome), self) : self

/** @internal */
export const makeFlow = <Args extends ReadonlyArray<unknown>, A, E, F, X>(
  parts: Parts<Args, A, F>,
  flights: Flights<A>,
  lookup: Lookup<Args, A, E>,
  failing: Failing<X>,
  scope: Scope.Scope
) => {
  const { bounds, count, isStorable, options, settings, versions } = parts
  const reading = makeReading(parts)
  const writing = makeWriting(parts, reading)
  const { over, tolerate } = makeTroubles(parts.name, count, failing)
  /** What the versions of tags have come to; not asked for where there are none. */
  const version = options.tags === undefined ? Exit.succeed(0) : versions.version

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
        return exit
      }
    })
  }

  /** What the function has answered is stored, if it is to be; its failures have stale answers stand in for them. */
  const settle = (
    answers: ReadonlyArray<{
      readonly call: Call<Args>
      readonly known: Known
      readonly exit: Exit.Exit<A, E>
      readonly isCurrent: () => boolean
    }>,
    version: number | undefined,
    lookupMillis: number
  ): Effect.Effect<ReadonlyArray<Exit.Exit<A, E | F | X>>> => {
    const storable = version === undefined ?
      [] :
      answers.flatMap(({ call, exit, isCurrent, known }): Array<Answered<Args, A, F>> => {
        if (Exit.isSuccess(exit)) {
          return [{ call, exit: Exit.succeed(exit.value), isCurrent, known, lookupMillis, version }]
        }
        const failure = failureOf(exit.cause)
        return Option.isSome(failure) && isStorable(failure.value)
          ? [{ call, exit: Exit.fail(failure.value), isCurrent, known, lookupMillis, version }]
          : []
      })
    const stored = storable.length === 0
      ? Exit.void
      : Effect.matchEffect(writing.store(storable), {
        onFailure: (error) => tolerate(error, Effect.void),
        onSuccess: () => Effect.sync(over)
      })
    return Effect.matchEffect(stored, {
      onFailure: (error) => Effect.succeed(answers.map(() => Exit.fail(error))),
      onSuccess: () =>
        withNow((now) =>
          Effect.forEach(answers, ({ call, exit, known }): Effect.Effect<Exit.Exit<A, E | F | X>> => {
            if (Exit.isSuccess(exit)) return Effect.succeed(exit)
            const failure = failureOf(exit.cause)
            if (Option.isNone(failure) || isStorable(failure.value) || known.entry === undefined) {
              return Effect.succeed(exit)
            }
            const resting = Effect.catchAll(writing.rest(call, known.entry), (error) => tolerate(error, Effect.void))
            return Effect.zipRight(
              Effect.ignore(resting),
              reading.isFallback(known, now) ? Effect.exit(standIn(call, known, exit)) : Effect.succeed(exit)
            )
          })
        )
    })
  }

  /** Has the function answer calls, and stores what it does. */
  const compute = (
    asked: ReadonlyArray<{ readonly call: Call<Args>; readonly known: Known }>
  ): Effect.Effect<ReadonlyArray<Exit.Exit<A, E | F | X>>, X> =>
    Effect.flatMap(
      // Before the function is called: what is invalidated from then on was not known to it.
      Effect.catchAll(version, (error) => tolerate(error, Effect.succeed(undefined))),
      (version) =>
        withNow((start) => {
          const current = asked.map(({ call: { key, situation } }) => {
            const flight = flights.flightOf(key)
            return () => situation === "transaction" || flights.flightOf(key) === flight
          })
          return Effect.flatMap(lookup(asked.map(({ call }) => call)), (exits) =>
            withNow((now) => {
              const millis = Math.max(0, now - start)
              count.lookupTime(millis)
              return settle(
                asked.map((one, i) => ({
                  ...one,
                  exit: exits[i] ?? Exit.die(new Error("effect-kv: a batch has left out a call")),
                  isCurrent: current[i] ?? (() => true)
                })),
                version,
                millis
              )
            }))
        })
    )

  /** Calls whose answers are being computed in the background. */
  const refreshing = new Set<string>()

  /** Has answers be computed in the background, each once. */
  const background = (
    asked: ReadonlyArray<Call<Args>>,
    fly: Effect.Effect<unknown, unknown>
  ): Effect.Effect<void> =>
    Effect.uninterruptible(Effect.suspend(() => {
      const calls = asked.filter(({ key, situation }) =>
        situation !== "transaction" && !refreshing.has(key) && flights.flightOf(key) === undefined
      )
      if (calls.length === 0) return Effect.void
      for (const { key } of calls) refreshing.add(key)
      count.refreshes(calls.length)
      const ending = Effect.sync(() => {
        for (const { key } of calls) refreshing.delete(key)
      })
      const flying = Effect.ensuring(Effect.interruptible(Effect.exit(outsideTransactions(fly))), ending)
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
    generation: number,
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
          reading.hold(call, entry, exit, now, generation)
          const hit = marked(call, "hit", exit)
          return settings.beta === 0 ? hit : Effect.flatMap(
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
    settings.softTimeout === undefined
      ? flight
      : withNow((now) =>
        reading.isFallback(known, now)
          ? Effect.zipRight(
            background([call], flight),
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
