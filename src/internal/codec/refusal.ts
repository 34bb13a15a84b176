/**
 * How formats say what they cannot give back.
 *
 * @internal
 */

/**
 * Throws an `Error` that names the place of what has no form.
 *
 * @internal
 */
export const refuseAt = (what: string, format: string, path: string): never => {
  throw new Error(`${what} is not ${format}${path === "" ? "" : ` (at ${path})`}; give it a form by the schema`)
}

/** @internal */
export const nameOf = (instance: object): string => {
  const { constructor }: { readonly constructor?: unknown } = instance
  return `an instance of ${typeof constructor === "function" ? constructor.name : "an unnamed class"}`
}
