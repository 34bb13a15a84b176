import { kinds } from "./engines.js"
import { suite } from "./suites/ktProcedures.js"

for (const engine of kinds) suite(engine)
