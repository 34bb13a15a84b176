/** The HTTP cache against the same client without one, and against undici's cache, with a server on this machine. */
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { Context, Deferred, Effect, Layer, Stream } from "effect"
import { HttpCache, Sqlite, Storage } from "effect-kv"
import * as path from "node:path"
import { measure, median, printAims, type Result, type Row, say } from "./harness.js"
import { printMemory } from "./httpMemory.js"
import { large, openOrigin, type Origin } from "./httpOrigin.js"
import { type Get, type HttpPeer, openUndici } from "./httpPeers.js"
import { openRaw } from "./raw.js"
import { concurrently, loop, storageLayer } from "./stores.js"

type Client = Pick<HttpClient.HttpClient.With<unknown>, "execute" | "get">

interface Cached {
  readonly cache: HttpCache.HttpCache["Type"]
  readonly client: Client
}

const textOf = (client: Client) => (url: string) => Effect.flatMap(client.get(url), (response) => response.text)

const piecesOf = (client: Client) => (url: string) =>
  Effect.flatMap(
    client.get(url),
    (response) => Stream.runFold(response.stream, 0, (sum, part) => sum + part.byteLength)
  )

const bytesOf = (first: number, last: number) => (client: Client) => (url: string) =>
  Effect.flatMap(
    client.execute(HttpClientRequest.get(url, { headers: { range: `bytes=${first}-${last}` } })),
    (response) => response.text
  )

const microseconds = (from: bigint): number => Number(process.hrtime.bigint() - from) / 1000

const open = <E>(
  client: HttpClient.HttpClient,
  storage: Layer.Layer<Storage.Storage, E>,
  options?: HttpCache.Options
) =>
  Effect.map(
    Layer.build(Layer.provide(HttpCache.layerCache({ ...options, sweepInterval: false }), storage)),
    (context): Cached => {
      const cache = Context.get(context, HttpCache.HttpCache)
      return { cache, client: cache.transform(client) }
    }
  )

const hits = 500
const callers = 500
const misses = 400
const warmups = 50
/** Of the cache that evicts. */
const maxEntries = 100

/** How often URLs are asked of the origin once they are stored has to be known: a hit that is none is quick, too. */
const expectAsked = (origin: Origin, times: number, what: string) =>
  Effect.flatMap(
    origin.asked,
    (asked) => asked === times ? Effect.void : Effect.dieMessage(`${what}: the origin was asked ${asked} times`)
  )

interface Sides {
  readonly plain: Client
  readonly sqlite: Cached
  readonly memory: Cached
  readonly bounded: Cached
}

const againstUncached = (origin: Origin, { bounded, memory, plain, sqlite }: Sides) =>
  Effect.gen(function*() {
    const urls = Array.from({ length: hits }, (_, i) => origin.urlOf("small", i))
    const validated = Array.from({ length: hits }, (_, i) => origin.urlOf("validated", i))
    const long = [origin.urlOf("large", 0)]
    const part = bytesOf(5_000_000, 5_000_999)
    for (const { cache, client } of [sqlite, memory]) {
      for (const url of [...urls, ...validated]) yield* textOf(client)(url)
      yield* piecesOf(client)(origin.urlOf("large", 0))
      yield* cache.size
      yield* origin.asked
      yield* loop(urls, textOf(client))
      yield* loop(long, piecesOf(client))
      yield* loop(long, part(client))
      yield* expectAsked(origin, 0, "hits")
    }
    const parts = Array.from({ length: hits }, () => origin.urlOf("large", 0))
    const atOnce = (client: Client) =>
      Effect.suspend(() => {
        const url = origin.fresh("slow")
        return concurrently(Array.from({ length: callers }, () => url), textOf(client))
      })
    const storing = ({ cache, client }: Cached) =>
      Effect.suspend(() =>
        Effect.zipRight(
          loop(Array.from({ length: hits }, () => origin.fresh("small")), textOf(client)),
          // Waits for what is being stored.
          cache.size
        )
      )
    const rows: ReadonlyArray<Row> = [
      {
        name: "hit of 1 KB, SQLite / uncached",
        operations: hits,
        ours: loop(urls, textOf(sqlite.client)),
        raw: loop(urls, textOf(plain)),
        target: 1 / 3
      },
      {
        name: "hit of 1 KB, memory / uncached",
        operations: hits,
        ours: loop(urls, textOf(memory.client)),
        raw: loop(urls, textOf(plain)),
        target: 1 / 3
      },
      {
        name: "304 for 1 KB, SQLite / uncached 200",
        operations: hits,
        ours: loop(validated, textOf(sqlite.client)),
        raw: loop(validated, textOf(plain))
      },
      {
        name: "304 for 1 KB, memory / uncached 200",
        operations: hits,
        ours: loop(validated, textOf(memory.client)),
        raw: loop(validated, textOf(plain))
      },
      {
        name: "206 of 1 KB out of 10 MB, SQLite / uncached",
        operations: hits,
        ours: loop(parts, part(sqlite.client)),
        raw: loop(parts, part(plain))
      },
      {
        name: "500 at once to one cold URL, 20 ms, SQLite / uncached",
        operations: callers,
        ours: atOnce(sqlite.client),
        raw: atOnce(plain)
      },
      {
        name: "miss of 1 KB that evicts, SQLite / uncached",
        operations: hits,
        ours: storing(bounded),
        raw: Effect.suspend(() => loop(Array.from({ length: hits }, () => origin.fresh("small")), textOf(plain)))
      },
      {
        name: "miss of 1 KB that evicts / that does not",
        operations: hits,
        ours: storing(bounded),
        raw: storing(sqlite)
      }
    ]
    const results = yield* Effect.forEach(rows, measure)
    yield* origin.asked
    yield* atOnce(sqlite.client)
    yield* expectAsked(origin, 1, "500 at once")
    const kept = yield* bounded.cache.size
    if (kept > maxEntries) return yield* Effect.dieMessage(`${kept} entries are kept, and not ${maxEntries}`)
    return results
  })

/**
 * Misses, one at a time. The last byte has come when the caller has all of it, and all is done when it is stored, too.
 * Nothing is asked for while something is still being stored.
 */
const timedMisses = (origin: Origin, plain: Client, engines: Readonly<Record<string, Cached>>) =>
  Effect.gen(function*() {
    const uncached: Array<number> = []
    const timePlain = Effect.gen(function*() {
      const url = origin.fresh("medium")
      const start = process.hrtime.bigint()
      yield* textOf(plain)(url)
      const came = microseconds(start)
      return () => void uncached.push(came)
    })
    const sides = yield* Effect.forEach(Object.entries(engines), ([name, { cache, client }]) =>
      Effect.gen(function*() {
        let stored = yield* Deferred.make<boolean>()
        yield* Effect.forkScoped(
          Stream.runForEach(cache.events, (event) =>
            event._tag === "Stored" || event._tag === "NotStored"
              ? Deferred.succeed(stored, event._tag === "Stored")
              : Effect.void)
        )
        const lastByte: Array<number> = []
        const total: Array<number> = []
        const time = Effect.gen(function*() {
          const url = origin.fresh("medium")
          stored = yield* Deferred.make<boolean>()
          const start = process.hrtime.bigint()
          yield* textOf(client)(url)
          const came = microseconds(start)
          const isStored = yield* Deferred.await(stored)
          const done = microseconds(start)
          if (!isStored) return yield* Effect.dieMessage("a miss was not stored")
          return () => {
            lastByte.push(came)
            total.push(done)
          }
        })
        return { lastByte, name, time, total }
      }))
    // Until those that wait for what is stored do so.
    yield* Effect.sleep("100 millis")
    const all = [timePlain, ...sides.map(({ time }) => time)]
    for (let round = -warmups; round < misses; round++) {
      for (let i = 0; i < all.length; i++) {
        const time = all[(i + round + warmups) % all.length]
        if (time === undefined) continue
        const keep = yield* time
        if (round >= 0) keep()
      }
    }
    const raw = median(uncached)
    const result = (name: string, times: ReadonlyArray<number>, target: number): Result => ({
      name,
      ours: median(times),
      ratio: median(times) / raw,
      raw,
      target
    })
    return sides.flatMap(({ lastByte, name, total }) => [
      result(`miss of 100 KB, to the last byte, ${name} / uncached`, lastByte, 1.15),
      result(`miss of 100 KB, until it is stored, ${name} / uncached`, total, 2.5)
    ])
  })

/** A long body out of the file, and as many bytes in as many rows by the driver. */
const streamed = (folder: string, origin: Origin, { client }: Cached) =>
  Effect.gen(function*() {
    const raw = openRaw(path.join(folder, "raw-http.db"), "NORMAL")
    const table = raw.table("chunks")
    const pieces = Array.from({ length: Math.ceil(large / 262_144) }, (_, i) => String(i))
    for (const piece of pieces) table.set.run(piece, null, Buffer.alloc(large / pieces.length, "x"))
    const url = origin.urlOf("large", 0)
    const result = yield* measure({
      name: "hit of 10 MB, streamed from SQLite / get of each row",
      operations: 1,
      ours: piecesOf(client)(url),
      raw: () => {
        for (const piece of pieces) void table.get.get(piece, Date.now())?.value
      },
      rounds: 51
    })
    raw.db.close()
    return result
  })

const aimedRate = 500

const againstUndici = (origin: Origin, peer: HttpPeer, { memory, sqlite }: Sides) =>
  Effect.gen(function*() {
    const urls = Array.from({ length: hits }, (_, i) => origin.urlOf("small", i))
    const validated = Array.from({ length: hits }, (_, i) => origin.urlOf("validated", i))
    const each = (get: Get, urls: ReadonlyArray<string>) =>
      Effect.promise(async () => {
        for (const url of urls) await get(url)
      })
    yield* origin.asked
    for (const get of [peer.inMemory, peer.inSqlite]) {
      if (get === undefined) continue
      yield* each(get, [...urls, ...validated])
      yield* origin.asked
      yield* each(get, urls)
      yield* expectAsked(origin, 0, "hits of undici")
    }
    const hundred = Array.from({ length: 100 }, () => "medium" as const)
    const fresh = () => hundred.map(origin.fresh)
    const sameUrl = () => {
      const url = origin.fresh("slow")
      return Array.from({ length: callers }, () => url)
    }
    const rows: ReadonlyArray<Row> = [
      {
        name: "hit of 1 KB, memory / memory",
        operations: hits,
        ours: loop(urls, textOf(memory.client)),
        raw: each(peer.inMemory, urls),
        target: 3
      },
      {
        name: "hit of 1 KB, SQLite / memory",
        operations: hits,
        ours: loop(urls, textOf(sqlite.client)),
        raw: each(peer.inMemory, urls),
        target: 3
      },
      ...(peer.inSqlite === undefined ? [] : [{
        name: "hit of 1 KB, SQLite / SQLite",
        operations: hits,
        ours: loop(urls, textOf(sqlite.client)),
        raw: each(peer.inSqlite, urls)
      }]),
      {
        name: "304 for 1 KB, memory / memory",
        operations: hits,
        ours: loop(validated, textOf(memory.client)),
        raw: each(peer.inMemory, validated)
      },
      {
        name: "miss of 100 KB, memory / memory",
        operations: hundred.length,
        ours: Effect.suspend(() => loop(fresh(), textOf(memory.client))),
        raw: Effect.suspend(() => each(peer.inMemory, fresh()))
      },
      {
        name: "500 at once to one cold URL, 20 ms, memory / deduplicate",
        operations: callers,
        ours: Effect.suspend(() => concurrently(sameUrl(), textOf(memory.client))),
        raw: Effect.suspend(() => Effect.promise(() => Promise.all(sameUrl().map(peer.deduplicated))))
      },
      {
        name: "uncached, HttpClient / undici.request",
        operations: hits,
        ours: loop(urls, textOf(yield* HttpClient.HttpClient)),
        raw: each(peer.plain, urls)
      }
    ]
    return yield* Effect.forEach(rows, measure)
  })

export const http = (folder: string) =>
  Effect.gen(function*() {
    const origin = yield* openOrigin
    const plain = yield* HttpClient.HttpClient
    const file = (name: string) =>
      Layer.provide(storageLayer, Sqlite.layer({ filename: path.join(folder, `http-${name}.db`) }))
    const sides: Sides = {
      bounded: yield* open(plain, file("bounded"), { maxEntries }),
      memory: yield* open(plain, Storage.layerMemory),
      plain,
      sqlite: yield* open(plain, file("sqlite"))
    }
    const uncached = yield* againstUncached(origin, sides)
    const missed = yield* timedMisses(origin, plain, { SQLite: sides.sqlite, memory: sides.memory })
    printAims([...uncached.slice(0, 2), ...missed, ...uncached.slice(2)])

    say("")
    const long = yield* streamed(folder, origin, sides.sqlite)
    printAims([long])
    const rate = large / long.ours
    say(`that is ${rate.toFixed(0)} MB/s; aim at least ${aimedRate} MB/s${rate >= aimedRate ? "" : "  missed"}`)
    say("")
    yield* printMemory(folder, origin)

    say("")
    const peer = yield* Effect.promise(() => openUndici(path.join(folder, "http-undici.db")))
    if ("missing" in peer) return say(peer.missing)
    say(`${peer.note}.`)
    say("")
    printAims(yield* againstUndici(origin, peer, sides), "undici")
    yield* Effect.promise(peer.close)
  }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
