/** What is asked of an HTTP cache by those who are interrupted anywhere, and by functions of the user that fail. */
import { HttpClient, HttpClientRequest, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Context, Effect, Exit, Fiber, FiberId, Layer, Option, Scheduler, Stream } from "effect"
import { HttpCache, Storage } from "effect-kv"

const turns = Effect.promise(async () => {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve))
})
const { defaultScheduler } = Scheduler
const url = "http://origin.test/"
const body = "the body"

/** Whether operations are counted. */
let isCounting = false

/** Counts the operations of fibers, calls back before one of them, and has fibers take turns often. */
class Stepping implements Scheduler.Scheduler {
  private steps = 0

  constructor(private readonly at: number, private readonly reached: () => void) {}

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    if (isCounting && this.steps++ === this.at) this.reached()
    return fiber.currentOpCount > 40 ? 0 : false
  }

  scheduleTask(task: () => void, priority: number): void {
    defaultScheduler.scheduleTask(task, priority)
  }
}

/** The exit of an effect that has to end without any time going by. */
const soon = <A, E>(what: string, fiber: Fiber.RuntimeFiber<A, E>) =>
  Effect.gen(function*() {
    for (let i = 0; i < 30; i++) {
      yield* turns
      const exit = yield* Fiber.poll(fiber)
      if (Option.isSome(exit)) return exit.value
    }
    return assert.fail(`${what}: stuck`)
  })

type Answer = (headers: Readonly<Record<string, string | undefined>>, call: number) => Response

/** A cache before an origin that takes some steps to answer. */
const cached = (answer: Answer, options?: HttpCache.Options) =>
  Effect.gen(function*() {
    let calls = 0
    const origin = HttpClient.make((request) =>
      Effect.map(
        Effect.repeatN(Effect.yieldNow(), 3),
        () => HttpClientResponse.fromWeb(request, answer(request.headers, calls++))
      )
    )
    const context = yield* Layer.build(
      Layer.provide(HttpCache.layer(options), [
        Layer.succeed(HttpClient.HttpClient, origin),
        Layer.fresh(Storage.layerMemory)
      ])
    )
    return { cache: Context.get(context, HttpCache.HttpCache), client: Context.get(context, HttpClient.HttpClient) }
  })

const validated = (field: string): Answer => ({ "if-none-match": condition }) =>
  new Response(condition === undefined ? body : null, {
    headers: { "cache-control": field, etag: "\"1\"" },
    status: condition === undefined ? 200 : 304
  })

const scenarios: Readonly<Record<string, { readonly answer: Answer; readonly isStored: boolean }>> = {
  "a first request": {
    answer: () => new Response(body, { headers: { "cache-control": "max-age=9" } }),
    isStored: false
  },
  "a response that depends on no parameter": {
    answer: () => new Response(body, { headers: { "cache-control": "max-age=9", "no-vary-search": "params" } }),
    isStored: false
  },
  "a response that is not stored": {
    answer: () => new Response(body, { headers: { "cache-control": "no-store" } }),
    isStored: false
  },
  "a validation": { answer: validated("max-age=0"), isStored: true },
  "a validation in the background": { answer: validated("max-age=0, stale-while-revalidate=9"), isStored: true },
  "an error of the origin": {
    answer: (_, call) =>
      call === 0
        ? new Response(body, { headers: { "cache-control": "max-age=0, stale-if-error=9" } })
        : new Response("error", { status: 503 }),
    isStored: true
  }
}

/** Steps apart: all of them take minutes, and were tried. */
const stride = 13

describe("HttpCache: interruption", () => {
  for (const [name, { answer, isStored }] of Object.entries(scenarios)) {
    it.live(
      `one of three is interrupted anywhere in ${name}, and the others are answered`,
      () =>
        Effect.gen(function*() {
          let interruptions = 0
          for (let at = 0;; at += stride) {
            const isReached = yield* Effect.scoped(Effect.gen(function*() {
              isCounting = false
              const { cache, client } = yield* cached(answer)
              const get = Effect.flatMap(client.get(url), (response) => response.text)
              if (isStored) deepStrictEqual(yield* get, body)
              yield* turns
              let isReached = false
              const fibers: Array<Fiber.RuntimeFiber<string, unknown>> = []
              const scheduler = new Stepping(at, () => {
                isReached = true
                fibers[0]?.unsafeInterruptAsFork(FiberId.none)
              })
              isCounting = true
              for (let i = 0; i < 3; i++) {
                fibers.push(yield* Effect.withScheduler(Effect.forkDaemon(get), scheduler))
              }
              const exits = []
              for (const fiber of fibers) exits.push(yield* soon(`a request, at ${at}`, fiber))
              isCounting = false
              const [first, ...others] = exits
              if (first !== undefined && Exit.isInterrupted(first)) interruptions++
              deepStrictEqual(others, [Exit.succeed(body), Exit.succeed(body)])
              // Nothing is left over for which these would wait.
              deepStrictEqual(yield* soon("a later request", yield* Effect.forkDaemon(get)), Exit.succeed(body))
              assert.isTrue(Exit.isSuccess(yield* soon("size", yield* Effect.forkDaemon(cache.size))))
              assert.isTrue(Exit.isSuccess(yield* soon("clear", yield* Effect.forkDaemon(cache.clear))))
              return isReached
            }))
            if (!isReached) break
          }
          assert.isAbove(interruptions, 3)
        }),
      60_000
    )
  }
})

describe("HttpCache: functions of the user that throw", () => {
  const boom = () => {
    throw new Error("on purpose")
  }
  const options: Readonly<Record<string, HttpCache.Options>> = {
    partition: { partition: boom },
    "rules.url": { rules: [{ url: boom }] },
    "rules.when": { rules: [{ when: boom }] },
    shouldStore: { shouldStore: boom },
    "shouldStore, as a defect": { shouldStore: () => Effect.die("on purpose") },
    statuses: { statuses: boom },
    vary: { vary: { accept: boom } }
  }
  for (const [name, given] of Object.entries(options)) {
    it.live(`${name}: each request fails for itself, and none waits for another`, () =>
      Effect.gen(function*() {
        const { cache, client } = yield* cached(
          () => new Response(body, { headers: { "cache-control": "max-age=9", vary: "accept" } }),
          given
        )
        const get = Effect.suspend(() => client.get(url, { headers: { accept: "a" } }))
        const fibers = yield* Effect.replicateEffect(Effect.forkDaemon(get), 5)
        for (const fiber of fibers) {
          const exit = yield* soon("a request", fiber)
          assert.isTrue(Exit.isFailure(exit) && !Exit.isInterrupted(exit))
        }
        deepStrictEqual(yield* soon("size", yield* Effect.forkDaemon(cache.size)), Exit.succeed(0))
        assert.isTrue(Exit.isSuccess(yield* soon("clear", yield* Effect.forkDaemon(cache.clear))))
      }).pipe(Effect.scoped))
  }
})

describe("HttpCache: all at once", () => {
  /** The same numbers for the same seed. */
  const numbers = (seed: number) => {
    let state = seed
    return (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor(state / 2 ** 32 * below)
    }
  }
  const sizes = [1, 300, 262_144, 262_145, 700_000]
  const known = new Map<string, Buffer>()
  /** The body that goes by a name; no two are alike. */
  const bodyFor = (name: string): Buffer => {
    const before = known.get(name)
    if (before !== undefined) return before
    let hash = 7
    for (const char of name) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) >>> 0
    const made = Buffer.alloc(sizes[hash % sizes.length] ?? 1)
    for (let i = 0; i < made.length; i++) made[i] = i * 31 + (i >> 8) + hash
    known.set(name, made)
    return made
  }
  const rangeOf = (field: string | undefined, length: number) => {
    const found = /bytes[= ](\d+)-(\d+)/.exec(field ?? "")
    return found === null ? undefined : { first: Number(found[1]), last: Math.min(Number(found[2]), length - 1) }
  }

  for (const seed of [1, 2]) {
    it.live(
      `bytes are right, and nothing is older than what was written before, whoever is interrupted (${seed})`,
      () =>
        Effect.gen(function*() {
          const random = numbers(seed)
          const some = Effect.suspend(() => Effect.repeatN(turns, random(2)))
          const versions = new Map<string, number>()
          const current = (path: string): number => versions.get(path) ?? 0
          const origin = HttpClient.make((request, { pathname }) =>
            Effect.gen(function*() {
              const answer = (text: Buffer | null, headers: Record<string, string>, status = 200) =>
                HttpClientResponse.fromWeb(
                  request,
                  new Response(text === null ? null : ReadableStream.from(pieces(text)), { headers, status })
                )
              function* pieces(all: Buffer) {
                for (let at = 0; at < all.length;) {
                  const length = 1 + random(200_000)
                  yield new Uint8Array(all.subarray(at, at + length))
                  at += length
                }
              }
              yield* some
              if (request.method === "PUT") {
                versions.set(pathname, current(pathname) + 1)
                const version = current(pathname)
                yield* some
                return answer(null, { "x-version": `${version}` })
              }
              const version = current(pathname)
              // Something may be written on the way.
              yield* some
              const language = pathname.includes("language") ? request.headers["accept-language"] ?? "" : ""
              const name = `${pathname}:${version}:${language}`
              const headers = {
                "cache-control": pathname.includes("stale") ? "max-age=0" : "max-age=60",
                etag: `"${name}"`,
                "x-name": name,
                "x-version": `${version}`,
                ...(language === "" ? {} : { vary: "accept-language" })
              }
              if (request.headers["if-none-match"]?.includes(headers.etag) === true) return answer(null, headers, 304)
              const all = bodyFor(name)
              if (request.method === "HEAD") return answer(null, { ...headers, "content-length": `${all.length}` })
              const range = rangeOf(request.headers["range"], all.length)
              if (range === undefined) return answer(all, { ...headers, "content-length": `${all.length}` })
              if (range.first >= all.length) return answer(null, { "cache-control": "no-store" }, 416)
              return answer(
                all.subarray(range.first, range.last + 1),
                { ...headers, "content-range": `bytes ${range.first}-${range.last}/${all.length}` },
                206
              )
            })
          )
          const context = yield* Layer.build(
            Layer.provide(HttpCache.layer({ maxBytes: 3_000_000 }), [
              Layer.succeed(HttpClient.HttpClient, origin),
              Layer.fresh(Storage.layerMemory)
            ])
          )
          const client = Context.get(context, HttpClient.HttpClient)
          const outcomes = new Map<string, number>()
          const written = new Map<string, number>()
          const paths = ["/a", "/stale", "/language", "/language/stale"]

          const read = (path: string, least: number) =>
            Effect.gen(function*() {
              const language = ["en", "de"][random(2)] ?? ""
              const isHead = random(8) === 0
              const range = isHead || random(4) > 0 ? undefined : `bytes=${random(3) * 100_000}-${random(700_000)}`
              const response = yield* client.execute(
                HttpClientRequest.make(isHead ? "HEAD" : "GET")(`http://origin.test${path}`, {
                  headers: { "accept-language": language, ...(range === undefined ? {} : { range }) }
                })
              )
              const { headers, status } = response
              const outcome = Option.match(HttpCache.info(response), {
                onNone: () => "none",
                onSome: (info) => info.outcome
              })
              outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
              if (status === 416) return
              const version = Number(headers["x-version"])
              const name = `${path}:${version}:${path.includes("language") ? language : ""}`
              deepStrictEqual(headers["x-name"], name)
              assert.isAtLeast(version, least)
              const all = bodyFor(name)
              if (isHead) return deepStrictEqual(headers["content-length"], `${all.length}`)
              const part = status === 206 ? rangeOf(headers["content-range"], all.length) : undefined
              const want = part === undefined ? all : all.subarray(part.first, part.last + 1)
              const got = random(2) === 0
                ? new Uint8Array(yield* response.arrayBuffer)
                : Buffer.concat(Chunk.toArray(yield* Stream.runCollect(response.stream)))
              assert.isTrue(want.equals(got), `${outcome} ${status} ${name}`)
            })
          const one = Effect.suspend(() => {
            const path = paths[random(paths.length)] ?? ""
            if (random(12) === 0) {
              return Effect.map(client.put(`http://origin.test${path}`), ({ headers }) => {
                written.set(path, Math.max(written.get(path) ?? 0, Number(headers["x-version"])))
              })
            }
            const reading = read(path, written.get(path) ?? 0)
            return random(8) === 0 ? Effect.raceFirst(reading, some) : reading
          })
          yield* Effect.replicateEffect(Effect.repeatN(one, 40), 10, { concurrency: "unbounded", discard: true })
          for (const outcome of ["hit", "miss", "revalidated"]) assert.isAbove(outcomes.get(outcome) ?? 0, 0, outcome)
        }).pipe(Effect.scoped),
      60_000
    )
  }
})
