/** Keys and values. Every value is new: rewriting what is there already is not what a store does. */

export const padded = (i: number): string => `key:${String(i).padStart(8, "0")}`

export const count = 10_000

/** In an order that is not theirs. */
export const keys: ReadonlyArray<string> = Array.from({ length: count }, (_, i) => padded((i * 7919) % count))

export const thousand = keys.slice(0, 1000)

let fresh = 0

export const text = (): string => `${fresh++}:`.padEnd(200, "x")

export const bytes = (): Buffer => Buffer.from(text())

export interface Small {
  readonly id: number
  readonly name: string
  readonly tags: ReadonlyArray<string>
}

export const small = (): Small => ({ id: fresh++, name: "a small value", tags: ["one", "two"] })
