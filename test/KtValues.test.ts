import { kinds } from "./engines.js"
import { suite } from "./suites/ktValues.js"

for (const engine of kinds) suite(engine)
