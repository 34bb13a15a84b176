/**
 * Schedules: a record for each item, whose key tells its time and its number, so that the first in order is the next due.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { utf8 } from "../bytes.js"
import { idOf, lastDue, prefixOf, scheduleKey } from "../itemKeys.js"
import { define, type Procedure } from "./define.js"
import { taken, withIds } from "./queue.js"

const keyName = utf8("key")

/** Up to which score the original reads, if it is not told: a time in seconds that comes in 2106. */
const unsaid = 0xffffffff

/** @internal */
export const schedules: ReadonlyArray<Procedure> = [
  define("schedule_add", { optional: ["score"], required: ["key", "value"] }, ({ key, value }, context) => {
    const items = (id: number) => scheduleKey(key, context.number("score") ?? 0, idOf(id))
    return Effect.map(
      withIds(context.keyspace, key, 1, (id) => [{ expiresAt: undefined, key: items(id), value }]),
      (id) => [[keyName, items(id)]]
    )
  }),
  define(
    "schedule_read",
    { optional: ["score", "n", "keys"], required: ["key"] },
    ({ key }, { given, keyspace, number }) => {
      const n = number("n") ?? -1
      return Effect.map(
        keyspace.take(
          { from: prefixOf(key), through: lastDue(key, number("score") ?? unsaid) },
          n < 0 ? Infinity : n
        ),
        (entries) => taken(entries, given("keys"))
      )
    }
  )
]
