/**
 * Numbers: those that are incremented, as records of 8 or 16 bytes, and those that procedures take and answer as text.
 *
 * @internal
 */

const minInt64 = -(2n ** 63n)
const maxInt64 = 2n ** 63n - 1n

/** @internal */
export const isInt64 = (value: bigint): boolean => value >= minInt64 && value <= maxInt64

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * A whole number, in 8 bytes.
 *
 * @internal
 */
export const writeInt = (value: bigint): Uint8Array => {
  const bytes = new Uint8Array(8)
  view(bytes).setBigInt64(0, value)
  return bytes
}

/**
 * Undefined if it is none.
 *
 * @internal
 */
export const readInt = (bytes: Uint8Array): bigint | undefined =>
  bytes.length === 8 ? view(bytes).getBigInt64(0) : undefined

/**
 * A number with 15 decimals: a whole part, and a fraction with the sign of the number. The greatest and the least whole
 * part stand for the infinities.
 *
 * @internal
 */
export interface Fixed {
  readonly whole: bigint
  readonly fraction: bigint
}

const unit = 10n ** 15n

/**
 * Undefined for what is too great, and not infinite, and for NaN.
 *
 * @internal
 */
export const toFixed = (value: number): Fixed | undefined => {
  if (value === Infinity) return { fraction: 0n, whole: maxInt64 }
  if (value === -Infinity) return { fraction: 0n, whole: minInt64 }
  const whole = Math.trunc(value)
  if (!(Math.abs(whole) < 2 ** 63)) return undefined
  return { fraction: BigInt(Math.trunc((value - whole) * 1e15)), whole: BigInt(whole) }
}

const isInfinite = ({ whole }: Fixed): boolean => whole === maxInt64 || whole === minInt64

/** @internal */
export const fromFixed = (fixed: Fixed): number =>
  isInfinite(fixed)
    ? fixed.whole > 0n ? Infinity : -Infinity
    : Number(fixed.whole) + Number(fixed.fraction) / 1e15

/**
 * Undefined for what cannot be kept: a sum beyond 64 bits, or of unlike infinities.
 *
 * @internal
 */
export const addFixed = (a: Fixed, b: Fixed): Fixed | undefined => {
  if (isInfinite(a) || isInfinite(b)) {
    if (isInfinite(a) && isInfinite(b) && a.whole !== b.whole) return undefined
    return isInfinite(a) ? a : b
  }
  const sum = a.fraction + b.fraction
  const carried = { fraction: sum % unit, whole: a.whole + b.whole + sum / unit }
  return isInt64(carried.whole) && !isInfinite(carried) ? carried : undefined
}

/** @internal */
export const writeFixed = ({ fraction, whole }: Fixed): Uint8Array => {
  const bytes = new Uint8Array(16)
  view(bytes).setBigInt64(0, whole)
  view(bytes).setBigInt64(8, fraction)
  return bytes
}

/** @internal */
export const readFixed = (bytes: Uint8Array): Fixed | undefined =>
  bytes.length === 16 ? { fraction: view(bytes).getBigInt64(8), whole: view(bytes).getBigInt64(0) } : undefined

const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i
const hexadecimal = /^([+-]?)0x([\da-f]+)$/i

/**
 * A number as Lua reads it from text; undefined if it is none, or infinite.
 *
 * @internal
 */
export const parseLua = (text: string): number | undefined => {
  const trimmed = text.trim()
  const hex = hexadecimal.exec(trimmed)
  const value = hex !== null
    ? Number(`0x${hex[2]}`) * (hex[1] === "-" ? -1 : 1)
    : decimal.test(trimmed)
    ? Number(trimmed)
    : undefined
  return value !== undefined && Number.isFinite(value) ? value : undefined
}

/**
 * A number as Lua's host prints it.
 *
 * @internal
 */
export const printLua = (value: number): string =>
  Number.isInteger(value)
    ? String(BigInt(value))
    : Number.isFinite(value)
    ? value.toFixed(6)
    : Number.isNaN(value)
    ? "nan"
    : value > 0
    ? "inf"
    : "-inf"

/**
 * `%0<width>d`: without its fraction, and the sign counts.
 *
 * @internal
 */
export const padded = (value: number, width: number): string => {
  const digits = String(BigInt(Math.abs(Math.trunc(value))))
  return value <= -1 ? `-${digits.padStart(width - 1, "0")}` : digits.padStart(width, "0")
}
