/**
 * A memoised `RequestResolver`: many calls at a time.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { RequestOptions, Resolver } from "../../Memoize.js"
import type * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { lastingContext } from "../storage/transactions.js"
import type { Call } from "./calls.js"
import { makeControls } from "./controls.js"
import { makeFlow, unanswered } from "./flow.js"
import { openParts } from "./parts.js"
import { type Known, nothing } from "./reading.js"
import { memoisedWhere, type Situation } from "./situation.js"

/** A call that the resolver has to answer. */
class Need<Args> {
  constructor(readonly call: Call<Args>, readonly known: Known) {}
}

/** @internal */
export const make = <
  Req extends Request.Request<unknown, unknown>,
  IReq,
  RReq,
  IA,
  RA,
  R,
  F extends Request.Request.Error<Req>,
  IF,
  RF,
  RO
>(
  options: RequestOptions<Req, IReq, RReq, IA, RA, F, IF, RF, RO>,
  resolver: RequestResolver.RequestResolver<Req, R>
): Effect.Effect<Resolver<Req>, StorageError, Storage.Storage | Scope.Scope | R | RReq | RA | RF | RO> =>
  Effect.gen(function*() {
    type Args = readonly [request: Req]
    type A = Request.Request.Success<Req>
    type E = Request.Request.Error<Req>
    type Answer = Exit.Exit<A, E>

    const parts = yield* openParts<Args, readonly [IReq], RReq, A, IA, RA, F, IF, RF, RO>({
      ...options,
      args: Schema.Tuple(options.request),
      name: options.name ?? options.request._tag,
      success: options.request.success
    })
    const { calls, count, flights, isEnabled, memory, settings } = parts
    const context = yield* lastingContext<R>()
    // Whoever asks keeps what it has: its transaction, and what it waits for.
    const bare = RequestResolver.mapInputContext(
      resolver,
      (own: Context.Context<never>) => Context.merge(own, context)
    )

    const ask = (request: Req): Effect.Effect<Answer> => Effect.exit(Effect.request(request, bare))
    /** One batch for the resolver. Effect does not interrupt what it runs for several, so nobody waits for that. */
    const run = (requests: ReadonlyArray<Req>): Effect.Effect<ReadonlyArray<Answer>> =>
      Effect.withRequestCaching(false)(
        requests.length === 1
          ? Effect.forEach(requests, ask)
          : Effect.disconnect(Effect.forEach(requests, ask, { batching: true }))
      )
    const flow = makeFlow<Args, A, E, F, never>(
      parts,
      (calls) => run(calls.map(({ args: [request] }) => request)),
      {},
      yield* Effect.scope
    )
    const { reading, tolerate } = flow

    /** Has the resolver answer, in one batch, what nobody is waiting for yet. */
    const fly = (
      needs: ReadonlyArray<Need<Args>>,
      isPatient: boolean
    ): Effect.Effect<ReadonlyArray<Answer>> => {
      if (needs[0]?.call.situation === "transaction") return flow.compute(needs)
      const compute = (own: ReadonlySet<string>) => {
        const asked = needs.filter(({ call: { key } }) => own.has(key))
        return Effect.map(
          flow.compute(asked),
          (answers) => new Map(asked.map(({ call: { key } }, i) => [key, answers[i] ?? unanswered]))
        )
      }
      const byKey = new Map(needs.map(({ call }) => [call.key, call]))
      const onCycle = (key: string): Effect.Effect<A, E> => {
        const call = byKey.get(key)
        return call === undefined ? unanswered : Effect.flatMap(run(call.args), ([answer = unanswered]) => answer)
      }
      return flights.joinAll(byKey.keys(), compute, onCycle, (outcomeOf) =>
        // Those who do not wait for ever do so side by side.
        isPatient || settings.softTimeout === undefined
          ? Effect.forEach(needs, ({ call }) => Effect.exit(outcomeOf(call.key)))
          : Effect.forEach(
            needs,
            ({ call, known }) => Effect.exit(flow.patiently(call, known, outcomeOf(call.key))),
            { concurrency: "unbounded" }
          ))
    }

    /** The answers of calls that differ, in their order. */
    const resolve = (calls: ReadonlyArray<Call<Args>>): Effect.Effect<ReadonlyArray<Answer>, StorageError> =>
      Effect.gen(function*() {
        const moment = memory?.moment ?? 0
        const knowns = yield* reading.readMany(calls)
        const stale: Array<Need<Args>> = []
        const found = yield* Effect.forEach(
          calls,
          (call, i) =>
            Effect.exit(flow.decide(call, knowns[i] ?? nothing, moment, {
              fly: (call, known) => Effect.succeed(new Need(call, known)),
              refresh: (call, known) => Effect.sync(() => void stale.push(new Need(call, known)))
            }))
        )
        if (stale.length > 0) {
          yield* flow.background(
            stale.map(({ call }) => call),
            Effect.suspend(() => fly(stale, true))
          )
        }
        const needs = found.flatMap((exit) => Exit.isSuccess(exit) && exit.value instanceof Need ? [exit.value] : [])
        const flown = (yield* fly(needs, false)).values()
        return found.map((exit): Answer => {
          if (Exit.isFailure(exit)) return Exit.failCause(exit.cause)
          return exit.value instanceof Need ? flown.next().value ?? unanswered : Exit.succeed(exit.value)
        })
      })

    const complete = (requests: ReadonlyArray<Req>, answers: ReadonlyArray<Answer>): Effect.Effect<void> =>
      Effect.forEach(requests, (request, i) =>
        Exit.matchEffect(answers[i] ?? unanswered, {
          onFailure: (cause) => Request.failCause(request, cause),
          onSuccess: (value) => Request.succeed(request, value)
        }), { discard: true })
    const around = (requests: ReadonlyArray<Req>): Effect.Effect<void> =>
      Effect.flatMap(run(requests), (answers) => complete(requests, answers))

    const memoised = (requests: ReadonlyArray<Req>, situation: Situation): Effect.Effect<void> =>
      Effect.gen(function*() {
        const asked = new Map<string, { readonly call: Call<Args>; readonly requests: Array<Req> }>()
        const keyless: Array<Req> = []
        for (const request of requests) {
          const text = yield* Effect.either(calls.textOf([request]))
          if (Either.isLeft(text)) {
            keyless.push(request)
            yield* tolerate(text.left, Effect.void)
            continue
          }
          const call = calls.callOf([request], text.right, situation)
          const same = asked.get(call.key)
          if (same === undefined) asked.set(call.key, { call, requests: [request] })
          else same.requests.push(request)
        }
        const all = [...asked.values()]
        count.collapsed(requests.length - keyless.length - all.length)
        if (keyless.length > 0) yield* around(keyless)
        if (all.length === 0) return
        const answers = yield* Effect.catchAll(
          resolve(all.map(({ call }) => call)),
          (error) => tolerate(error, run(all.map(({ call: { args: [request] } }) => request)))
        )
        yield* Effect.forEach(
          all,
          ({ requests }, i) => complete(requests, requests.map(() => answers[i] ?? unanswered))
        )
      })

    const memo = RequestResolver.makeBatched((requests: ReadonlyArray<Req>) =>
      memoisedWhere(
        isEnabled,
        () => {
          count.bypasses(requests.length)
          return around(requests)
        },
        (situation) => memoised(requests, situation)
      )
    )
    return Object.assign(memo, makeControls(parts, reading))
  })
