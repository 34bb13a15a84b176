/**
 * @internal
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Due, Schedule } from "../../KtCompat.js"
import type { KtError } from "../../KtError.js"
import { andThen } from "../done.js"
import { concat, none, utf8 } from "../kt/bytes.js"
import { call, type Container, find, numberIn, type Parameters, whole } from "./containers.js"
import { takenItems, withoutTab } from "./queue.js"
import { decodeAll } from "./values.js"

/** What fits into the digits that a key has for it. */
const greatestDue = 999_999_999_999

/** A time has whole seconds: it is rounded so that nothing is given out before it is due. */
const dueOf = (
  method: string,
  due: Due | undefined,
  otherwise: number,
  round: (seconds: number) => number
): Exit.Exit<number, KtError> => {
  const score = due === undefined ? otherwise : DateTime.isDateTime(due) ? round(due.epochMillis / 1000) : due
  return Exit.as(whole(method, "a time", score, 0, greatestDue), score)
}

/** @internal */
export const makeSchedule = <A>(place: Container<A>): Schedule<A> => {
  const container = { ...place, key: withoutTab("Schedule", place.key) }
  const { at, db, key, transport, values } = container
  const ask = (name: string, own: string, parameters?: Parameters) => call(container, name, own, parameters)
  const count = Effect.map(
    Effect.suspend(() => ask("queue_size", "queue")),
    (pairs) => numberIn(pairs, "num")
  )
  return {
    add: (item, due) =>
      Effect.flatMap(
        dueOf("Schedule.add", due, 0, Math.ceil),
        (score) =>
          andThen(values.encode(item, at), (value) =>
            Effect.map(ask("schedule_add", "key", { score, value }), (pairs) => find(pairs, "key") ?? none))
      ),
    clear: Effect.map(
      Effect.suspend(() => ask("schedule_read", "key", { n: -1, score: greatestDue })),
      (pairs) => pairs.length
    ),
    count,
    items: (n) =>
      andThen(
        whole("Schedule.items", "how many", n, 0),
        () =>
          andThen(key, (key) =>
            Effect.flatMap(transport.matchPrefix(db, concat(key, utf8("\t")), n ?? Infinity), (keys) =>
              Effect.flatMap(transport.getMany(keys.map((key) => ({ db, key }))), (found) =>
                decodeAll(
                  values,
                  found.flatMap(Option.toArray).map(({ value }) =>
                    value
                  ),
                  at
                ))))
      ),
    read: ({ due, n } = {}) =>
      andThen(
        whole("Schedule.read", "how many", n, 0),
        () =>
          andThen(dueOf("Schedule.read", due, greatestDue, Math.floor), (score) =>
            takenItems(container, () => ask("schedule_read", "key", { keys: "told", n, score })))
      )
  }
}
