/** What a time to live costs: a TtlStore against a KeyValueStore of the same values. */
import { Effect } from "effect"
import * as path from "node:path"
import { measure, printAims, type Row } from "./harness.js"
import { loop, on, Sessions, Texts } from "./stores.js"
import { count, keys, text } from "./values.js"

const rows = Effect.gen(function*() {
  const texts = yield* Texts
  const sessions = yield* Sessions
  yield* texts.setMany(keys.map((key) => [key, text()]))
  yield* sessions.setMany(keys.map((key) => [key, text()]))
  let fresh = 0
  const added = (store: typeof texts) =>
    Effect.suspend(() => {
      const round = fresh++
      return loop(keys, (key) => store.set(`${round}:${key}`, text()))
    })
  const all: ReadonlyArray<Row> = [
    { name: "get", operations: count, ours: loop(keys, sessions.get), raw: loop(keys, texts.get), target: 1.1 },
    {
      name: "set, of a key that is there",
      operations: count,
      ours: loop(keys, (key) => sessions.set(key, text())),
      raw: loop(keys, (key) => texts.set(key, text())),
      target: 1.1
    },
    { name: "set, of a new key", operations: count, ours: added(sessions), raw: added(texts) },
    {
      name: "touch / set",
      operations: count,
      ours: loop(keys, (key) => sessions.touch(key)),
      raw: loop(keys, (key) => texts.set(key, text()))
    },
    {
      name: "getAndTouch / set",
      operations: count,
      ours: loop(keys, (key) => sessions.getAndTouch(key)),
      raw: loop(keys, (key) => texts.set(key, text()))
    }
  ]
  printAims(yield* Effect.forEach(all, measure), "KeyValueStore")
})

export const timeToLive = (folder: string) => Effect.provide(rows, on({ filename: path.join(folder, "kv-ttl.db") }))
