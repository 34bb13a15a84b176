/**
 * A memoised function: one call at a time, of which those for the same share one.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Types from "effect/Types"
import type { Trouble } from "../../Memoize.js"
import { isDone, providing } from "../done.js"
import { clockOf, isTraced, withNow } from "../storage/compat.js"
import { lastingContext } from "../storage/transactions.js"
import type { Call } from "./calls.js"
import { announcingInvalidated } from "./coherence.js"
import { makeControls } from "./controls.js"
import { makeFlow, marking, unanswered } from "./flow.js"
import * as lease from "./lease.js"
import { openParts, type PartsOptions } from "./parts.js"
import { type Known, nothing } from "./reading.js"
import { memoisedWhere, type Situation } from "./situation.js"

/** How many keys may be asked for at the same time and still be known to be. */
const mostAsking = 10_000

/** @internal */
export const make = <Args extends ReadonlyArray<unknown>, IArgs, RArgs, A, IA, RA, E, R, F, IF, RF, RO>(
  options: PartsOptions<Args, IArgs, RArgs, A, IA, RA, F, IF, RF, RO>,
  f: (...args: Types.Mutable<Args>) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function*() {
    type Failure = E | F | Trouble | Cause.TimeoutException
    const parts = yield* openParts(options)
    const { bounds, calls, count, flights, isEnabled, keyspace, memory, reads, settings, storage, versions } = parts
    const leases = settings.lease === undefined ? undefined : yield* lease.open(storage, keyspace.name, settings.lease)
    const provide = providing(yield* lastingContext<R>())
    /** What somebody is asking for. */
    const asking = new Set<string>()

    const { hardTimeout } = settings
    const run = (args: Args): Effect.Effect<A, E | Cause.TimeoutException> => {
      const self = provide(Effect.suspend(() => f(...args)))
      return hardTimeout === undefined ? self : Effect.timeout(self, hardTimeout)
    }
    const flow = makeFlow<Args, A, E | Cause.TimeoutException, F, Trouble>(
      parts,
      (calls) => Effect.forEach(calls, ({ args }) => Effect.exit(run(args))),
      {
        onMisfit: options.onDecodeFailure === "fail" ? Effect.fail : undefined,
        onTrouble: options.onStorageFailure === "fail" ? Effect.fail : undefined
      },
      yield* Effect.scope
    )
    const { reading, tolerate } = flow

    const once = (
      call: Call<Args>,
      known: Known,
      isRefresh = false
    ): Effect.Effect<Exit.Exit<A, Failure>, Trouble> =>
      Effect.map(flow.compute([{ call, isRefresh, known }]), ([exit = unanswered]) => exit)

    const readAgain = (call: Call<Args>, otherwise: Known): Effect.Effect<Known> =>
      Effect.catchAll(reading.read(call), () =>
        Effect.sync(() => {
          count.errors(1)
          return otherwise
        }))

    /** What somebody has stored meanwhile: an answer, or that the function is to be left alone. */
    const found = (known: Known, call: Call<Args>): Effect.Effect<Option.Option<Exit.Exit<A, Failure>>> =>
      withNow((now) => {
        const judgement = reading.judge(known, now)
        return known.entry !== undefined && (judgement === "fresh" || judgement === "resting")
          ? Effect.option(reading.decode(call, known.entry))
          : Effect.succeedNone
      })
    const computed = (call: Call<Args>, known: Known): Effect.Effect<A, Failure> => {
      if (leases === undefined || call.situation === "transaction") return Effect.flatten(once(call, known))
      let latest = known
      const lookAgain = Effect.flatMap(readAgain(call, nothing), (known) => {
        latest = known
        return found(latest, call)
      })
      const compute = Effect.suspend(() => once(call, latest))
      return Effect.flatten(leases.within(call.key, lookAgain, compute, (error) => tolerate(error, compute)))
    }

    /** Joins those for whom the function is called. Who read before somebody landed looks again. */
    const flying = (call: Call<Args>, known: Known, landed: number | undefined): Effect.Effect<A, Failure> =>
      flights.join(
        call.key,
        Effect.suspend(() =>
          landed === undefined || flights.landed === landed
            ? computed(call, known)
            : Effect.flatMap(readAgain(call, known), (known) =>
              Effect.flatMap(found(known, call), (exit) => Option.isSome(exit) ? exit.value : computed(call, known)))
        ),
        () => run(call.args)
      )

    /** The answer for one who asks alone, and leads those who come meanwhile; or for those. */
    const answer = (call: Call<Args>, leads: boolean): Effect.Effect<A, Failure> => {
      const { key, text } = call
      const moment = memory?.moment ?? 0
      const { landed } = flights
      const read = (): void => {
        if (leads) asking.delete(text)
      }
      const leading = <B, E>(self: Effect.Effect<B, E>): Effect.Effect<B, E> =>
        leads
          ? Effect.ensuring(
            Effect.suspend(() => {
              asking.add(text)
              return self
            }),
            Effect.sync(read)
          )
          : self
      if (leads) {
        // Who is interrupted while it reads leaves its key here, until somebody who has joined nobody takes it out.
        if (asking.size >= mostAsking) asking.clear()
        asking.add(text)
      }
      return reading.reading(
        call,
        (error) => {
          read()
          count.misses(1)
          return leading(tolerate(error, flights.join(key, run(call.args), () => run(call.args))))
        },
        (known) => {
          read()
          return flow.decide(call, known, moment, {
            fly: (call, known) => leading(flow.patiently(call, known, flying(call, known, landed))),
            refresh: (call, known) => flow.background([call], flying(call, known, undefined))
          })
        }
      )
    }

    const joined = (args: Args, text: string, self: () => Effect.Effect<A, Failure>): Effect.Effect<A, Failure> => {
      count.collapsed(1)
      const ending = Effect.sync(() => void asking.delete(text))
      return reads.join(text, Effect.ensuring(Effect.suspend(self), ending), () => run(args))
    }

    const spanned = <B, E>(self: Effect.Effect<B, E>): Effect.Effect<B, E> =>
      Effect.withSpan(self, `memoize ${parts.name}`, {
        attributes: { "effect_kv.memo": parts.name },
        captureStackTrace: false
      })

    /** What is in memory does not tell whether the function is to be left alone. */
    const refreshEarly = (call: Call<Args>): Effect.Effect<void> =>
      flow.background(
        [call],
        Effect.flatMap(readAgain(call, nothing), (known) =>
          withNow((now): Effect.Effect<unknown, unknown> =>
            now < (known.entry?.retryAt ?? 0) ? Effect.void : flying(call, known, undefined)
          ))
      )

    const called = (
      args: Args,
      text: string,
      situation: Situation,
      fiber: Fiber.RuntimeFiber<unknown, unknown>
    ): Effect.Effect<A, Failure> => {
      const traced = isTraced(fiber)
      if (memory !== undefined && situation === "plain") {
        const now = clockOf(fiber).unsafeCurrentTimeMillis()
        const kept = memory.get(text, now)
        if (kept !== undefined) {
          count.hits(1)
          bounds?.used(kept.storedAs, now)
          const hit = settings.beta === 0 ? kept.exit : Effect.flatMap(
            flow.isEarly(kept, now),
            (early) => early ? Effect.zipRight(refreshEarly(calls.callOf(args, text, situation)), kept.exit) : kept.exit
          )
          return traced ? spanned(Effect.zipRight(marking("hit"), hit)) : hit
        }
      }
      const call = () => calls.callOf(args, text, situation, traced)
      const asked = situation === "transaction"
        ? answer(call(), false)
        : !asking.has(text)
        ? answer(call(), true)
        : traced
        ? Effect.zipRight(marking("collapsed"), joined(args, text, () => answer(call(), false)))
        : joined(args, text, () => answer(call(), false))
      return traced ? spanned(asked) : asked
    }

    const around = (args: Args): Effect.Effect<A, E | Cause.TimeoutException> => {
      count.bypasses(1)
      return run(args)
    }

    const memoised = (
      args: Args,
      situation: Situation,
      fiber: Fiber.RuntimeFiber<unknown, unknown>
    ): Effect.Effect<A, Failure> => {
      const text = calls.textOf(args)
      return isDone(text) && Exit.isSuccess(text)
        ? called(args, text.value, situation, fiber)
        : Effect.matchEffect(text, {
          onFailure: (error) => tolerate(error, run(args)),
          onSuccess: (text) => called(args, text, situation, fiber)
        })
    }

    const memo = (...args: Args): Effect.Effect<A, Failure> =>
      memoisedWhere<A, Failure>(
        isEnabled,
        () => around(args),
        (situation, fiber) => memoised(args, situation, fiber)
      )

    const refreshed = (call: Call<Args>): Effect.Effect<A, Failure> => {
      count.refreshes(1)
      // What is being computed is not stored any more, and those who come from now on do not wait for it.
      const raised = Effect.catchAll(versions.raise(call.key), (error) => tolerate(error, Effect.void))
      return Effect.zipRight(
        Effect.zipRight(raised, announcingInvalidated(storage, keyspace.name, call)),
        // No stale answer stands in for what was asked for.
        Effect.suspend(() => flights.join(call.key, Effect.flatten(once(call, nothing, true)), () => run(call.args)))
      )
    }
    const refresh = (...args: Args): Effect.Effect<A, Failure> =>
      memoisedWhere<A, Failure>(isEnabled, () => around(args), (situation) =>
        Effect.matchEffect(calls.textOf(args), {
          onFailure: (error) => tolerate(error, run(args)),
          onSuccess: (text) => refreshed(calls.callOf(args, text, situation))
        }))

    return Object.assign(memo, makeControls(parts, reading), { refresh })
  })
