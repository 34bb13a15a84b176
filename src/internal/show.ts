/**
 * How errors show what they are about.
 *
 * @internal
 */

const shown = 80

/**
 * A short, printable form of a key, a name or a value.
 *
 * @internal
 */
export const show = (value: unknown): string => {
  if (value instanceof Uint8Array) {
    const hex = Array.from(value.subarray(0, shown / 2), (byte) => byte.toString(16).padStart(2, "0")).join("")
    return `0x${hex}${value.length > shown / 2 ? `... (${value.length} bytes)` : ""}`
  }
  if (typeof value === "string") {
    return JSON.stringify(value.length > shown ? `${value.slice(0, shown)}...` : value) +
      (value.length > shown ? ` (${value.length} characters)` : "")
  }
  if (typeof value !== "object" || value === null) return String(value)
  try {
    return JSON.stringify(value).slice(0, shown * 2)
  } catch {
    return String(value)
  }
}
