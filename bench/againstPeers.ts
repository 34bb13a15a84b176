/** effect-kv against its peers: same operations, same values, one run. Below 1 is ahead. */
import { Effect, ManagedRuntime, Stream } from "effect"
import * as path from "node:path"
import { printRaces, type Race, race, type Runner, say } from "./harness.js"
import { openKeyv, openLmdb, type Side } from "./peers.js"
import { concurrently, loop, Many, on, Sessions, Structs, Texts } from "./stores.js"
import { keys, padded, small, text, thousand } from "./values.js"

const openOurs = async (folder: string): Promise<Side> => {
  const runtime = ManagedRuntime.make(on({ filename: path.join(folder, "kv-peers.db") }))
  const many = await runtime.runPromise(Many)
  const sessions = await runtime.runPromise(Sessions)
  const structs = await runtime.runPromise(Structs)
  const texts = await runtime.runPromise(Texts)
  const run = <A, E>(effect: Effect.Effect<A, E>) => runtime.runPromise(effect)
  return {
    bulk: 1000,
    close: () => runtime.dispose(),
    fill: (what) =>
      run(Effect.all([
        texts.setMany(what.texts),
        structs.setMany(what.structs),
        Effect.forEach(what.expiring, ([key, value]) => sessions.set(key, value)),
        many.setMany(what.scanned)
      ])),
    get: (keys) => run(loop(keys, texts.get)),
    getExpiring: (keys) => run(loop(keys, sessions.get)),
    getMany: (keys) => run(texts.getMany(keys)),
    getStruct: (keys) => run(loop(keys, structs.get)),
    has: (keys) => run(loop(keys, texts.has)),
    holds: (key, value) => run(Effect.map(texts.getOrFail(key), (found) => found === value)),
    name: "effect-kv",
    remove: (keys) => run(loop(keys, texts.remove)),
    scan: () => run(Stream.runFold(Stream.chunks(many.entries()), 0, (count, chunk) => count + chunk.length)),
    scanned: 100_000,
    set: (keys, value) => run(loop(keys, (key) => texts.set(key, value()))),
    setConcurrently: (keys, value) => run(concurrently(keys, (key) => texts.set(key, value()))),
    setExpiring: (keys, value) => run(loop(keys, (key) => sessions.set(key, value(), { timeToLive: "1 hour" }))),
    setMany: (keys, value) => run(texts.setMany(keys.map((key) => [key, value()])))
  }
}

const fill = (side: Side) =>
  side.fill({
    expiring: keys.map((key) => [key, text()]),
    scanned: Array.from({ length: side.scanned }, (_, i) => [padded(i), text()]),
    structs: keys.map((key) => [key, small()]),
    texts: keys.map((key) => [key, text()])
  })

const check = async (side: Side) => {
  const value = text()
  await side.set(["checked"], () => value)
  const scanned = await side.scan()
  if (!await side.holds("checked", value) || scanned !== side.scanned) {
    throw new Error(`${side.name} does not hold what was written to it`)
  }
}

const reads = keys.slice(0, 2000)
/** What is written one by one; by whom each costs a sync of the disk, less of it. */
const writes = (side: Side) => thousand.slice(0, Math.min(200, side.bulk))
const bulk = (side: Side) => thousand.slice(0, side.bulk)
const going = (side: Side) => writes(side).map((key) => `going:${key}`)

const over = (keys: ReadonlyArray<string>, run: (keys: ReadonlyArray<string>) => Promise<unknown>): Runner => ({
  operations: keys.length,
  run: () => run(keys)
})

const rows: ReadonlyArray<readonly [name: string, runner: (side: Side) => Runner | undefined]> = [
  ["get, text of 200 bytes", (side) => over(reads, side.get)],
  ["get, small struct", (side) => over(reads, side.getStruct)],
  ["get, with a time to live", (side) => side.getExpiring && over(reads, side.getExpiring)],
  ["has", (side) => over(reads, side.has)],
  ["getMany of 1,000", (side) => over(thousand, side.getMany)],
  ["set, text of 200 bytes", (side) => over(writes(side), (keys) => side.set(keys, text))],
  ["set, with a time to live", (side) => {
    const { setExpiring } = side
    return setExpiring && over(writes(side), (keys) => setExpiring(keys, text))
  }],
  ["1,000 concurrent sets", (side) => over(bulk(side), (keys) => side.setConcurrently(keys, text))],
  ["setMany of 1,000", (side) => over(bulk(side), (keys) => side.setMany(keys, text))],
  ["delete", (side) => ({ ...over(going(side), side.remove), before: () => side.setMany(going(side), text) })],
  ["scan of 100,000", (side) => ({ operations: side.scanned, run: side.scan })]
]

export const againstPeers = async (folder: string): Promise<void> => {
  const peers: Array<Side> = []
  for (const open of [openKeyv, openLmdb]) {
    const opened = await open(folder)
    if ("missing" in opened) say(opened.missing)
    else peers.push(...opened.sides)
  }
  const ours = await openOurs(folder)
  const sides = [ours, ...peers]
  for (const { name, note } of peers) say(`${name}: ${note}.`)
  try {
    for (const side of sides) {
      await fill(side)
      await check(side)
    }
    const races: Array<Race> = []
    for (const [name, runner] of rows) {
      const [time = NaN, ...others] = await race(sides.map(runner))
      races.push({ name, ours: time, peers: others })
    }
    printRaces(peers.map(({ name }) => name), races)
  } finally {
    for (const side of sides) await side.close()
  }
}
