/** What is asked of an HTTP cache by those who are interrupted anywhere, and by functions of the user that fail. */
import { HttpClient, HttpClientResponse } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Context, Effect, Exit, Fiber, FiberId, Layer, Option, Scheduler } from "effect"
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
