/**
 * The methods of a `Queue`.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Failure, Key, Queue, QueueOptions, ScoreOptions, Timeout } from "../../KtCompat.js"
import type { KtError } from "../../KtError.js"
import type { Pair } from "../../KtTransport.js"
import { andThen } from "../done.js"
import { latin1 } from "../kt/bytes.js"
import { greatestScore, leastScore, tab } from "../kt/itemKeys.js"
import { ordinals } from "../kt/ordinals.js"
import type { Restore } from "../storage/gate.js"
import { call, type Container, counted, listed, numberIn, type Parameters, takingOut, whole } from "./containers.js"
import { anyKey, decodeAll, encodeAll, refuse, timeoutOf } from "./values.js"

/**
 * A key under which items are: the tab parts it from theirs.
 *
 * @internal
 */
export const withoutTab = <E>(method: string, key: Exit.Exit<Uint8Array, E>): Exit.Exit<Uint8Array, E | KtError> =>
  Exit.isSuccess(key) && latin1(key.value).includes(tab)
    ? Exit.fail(
      refuse(method, "its key contains a tab, which parts it from those of its items; use another character")
    )
    : key

/**
 * Takes items out, whose names in the answer are their keys.
 *
 * @internal
 */
export const takenItems = <A>(
  container: Container<A>,
  take: (restore: Restore) => Effect.Effect<ReadonlyArray<Pair>, Failure>
): Effect.Effect<ReadonlyArray<A>, Failure> =>
  takingOut(
    take,
    (pairs) => decodeAll(container.values, pairs.map(([, value]) => value), container.at),
    (pairs) => call(container, "queue_restore", "queue", {}, pairs)
  )

/** @internal */
export const makeQueue = <A>(place: Container<A>): Queue<A> => {
  const container = { ...place, key: withoutTab("Queue", place.key) }
  const { at, values } = container
  const ask = (name: string, parameters?: Parameters, data?: ReadonlyArray<Pair>) =>
    call(container, name, "queue", parameters, data)
  const scored = (method: string, score: number | undefined) =>
    whole(method, "a score", score, leastScore, greatestScore)
  const least = (method: string, { minScore }: QueueOptions): Exit.Exit<Parameters, KtError> =>
    minScore === undefined
      ? Exit.succeed({})
      : Number.isNaN(Number(minScore))
      ? Exit.fail(refuse(method, `a least score is a number, not ${String(minScore)}`))
      : Exit.succeed({ min_score: Math.max(leastScore, Math.min(Math.ceil(minScore), greatestScore + 1)) })
  const many = (method: string, n: number) => whole(method, "how many", n, 0)

  const peekMany = (procedure: string) => (n: number, options: QueueOptions = {}) =>
    andThen(
      many(procedure, n),
      () =>
        andThen(
          least(procedure, options),
          (least) => Effect.flatMap(ask(procedure, { ...least, n }), (pairs) => listed(container, pairs))
        )
    )
  const popMany = (procedure: string) => (n: number, options: QueueOptions = {}) =>
    andThen(
      many(procedure, n),
      () =>
        andThen(least(procedure, options), (least) =>
          takenItems(container, () => ask(procedure, { ...least, keys: "told", n })))
    )
  const one = (all: Effect.Effect<ReadonlyArray<A>, Failure>) => Effect.map(all, Arr.head)
  const removed =
    (procedure: string) => (item: A, { n, ...options }: QueueOptions & { readonly n?: number | undefined } = {}) =>
      andThen(values.encode(item, at), (data) =>
        andThen(
          whole(procedure, "how many", n, 0),
          () => andThen(least(procedure, options), (least) => counted(ask(procedure, { ...least, data, n })))
        ))
  const transferMany = (dest: Key, n: number) =>
    andThen(
      many("Queue.transfer", n),
      () =>
        andThen(withoutTab("Queue.transfer", anyKey(dest)), (dest) =>
          Effect.flatMap(ask("queue_transfer", { dest, n }), (pairs) => listed(container, pairs)))
    )
  const bpop = (
    { timeout, ...options }: QueueOptions & { readonly timeout?: Timeout | undefined } = {}
  ): Effect.Effect<Option.Option<A>, Failure> => {
    const waited = timeout === undefined ? Exit.succeed(Infinity) : timeoutOf("Queue.bpop", timeout)
    return one(andThen(waited, (millis) =>
      andThen(
        least("Queue.bpop", options),
        (least) =>
          takenItems(
            container,
            (restore) =>
              restore(ask("queue_bpop", {
                ...least,
                keys: "told",
                timeout: millis === Infinity ? undefined : millis / 1000
              }))
          )
      )))
  }
  return {
    add: (item, { score }: ScoreOptions = {}) =>
      andThen(
        scored("Queue.add", score),
        () =>
          andThen(
            values.encode(item, at),
            (data) => Effect.flatMap(ask("queue_add", { data, score }), (pairs) => numberIn(pairs, "id"))
          )
      ),
    bpop,
    clear: counted(Effect.suspend(() => ask("queue_clear"))),
    count: counted(Effect.suspend(() => ask("queue_size"))),
    extend: (items, { score }: ScoreOptions = {}) =>
      andThen(
        scored("Queue.extend", score),
        () => andThen(encodeAll(values, items, at), (all) => counted(ask("queue_madd", { score }, ordinals(all))))
      ),
    peek: (options) => one(peekMany("queue_peek")(1, options)),
    peekMany: peekMany("queue_peek"),
    pop: (options) => one(popMany("queue_pop")(1, options)),
    popMany: popMany("queue_pop"),
    remove: removed("queue_remove"),
    rpeek: (options) => one(peekMany("queue_rpeek")(1, options)),
    rpeekMany: peekMany("queue_rpeek"),
    rpop: (options) => one(popMany("queue_rpop")(1, options)),
    rpopMany: popMany("queue_rpop"),
    rremove: removed("queue_rremove"),
    setPriority: (item, score, { n } = {}) =>
      andThen(
        andThen(scored("Queue.setPriority", score), () => whole("Queue.setPriority", "how many", n, 0)),
        () => andThen(values.encode(item, at), (data) => counted(ask("queue_set_score", { data, n, score })))
      ),
    stream: ({ minScore } = {}) =>
      Stream.repeatEffectOption(
        Effect.flatMap(
          Effect.mapError(bpop({ minScore }), Option.some),
          Option.match({ onNone: () => Effect.fail(Option.none()), onSome: Effect.succeed })
        )
      ),
    transfer: (dest) => one(transferMany(dest, 1)),
    transferMany
  }
}
