import effect from "@effect/eslint-plugin";
import eslint from "@eslint/js";
import * as importX from "eslint-plugin-import-x";
import sortDestructureKeys from "eslint-plugin-sort-destructure-keys";
import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist", ".bench", ".docgen", "coverage", "docs", "node_modules"] },
  eslint.configs.recommended,
  ...tseslint.configs.strict,
  ...effect.configs.dprint,
  {
    files: ["**/*.ts"],
    plugins: { "import-x": importX, "sort-destructure-keys": sortDestructureKeys },
    rules: {
      "@effect/dprint": ["error", {
        config: {
          indentWidth: 2,
          lineWidth: 120,
          operatorPosition: "maintain",
          semiColons: "asi",
          quoteStyle: "alwaysDouble",
          trailingCommas: "never",
          "arrowFunction.useParentheses": "force",
        },
      }],
      "@typescript-eslint/array-type": ["error", { default: "generic" }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-invalid-void-type": "off",
      "@typescript-eslint/unified-signatures": "off",
      "import-x/first": "error",
      "import-x/no-duplicates": "error",
      "object-shorthand": "error",
      "sort-destructure-keys/sort-destructure-keys": "error",
    },
  },
  {
    files: ["src/**/*.ts"],
    rules: {
      "@effect/no-import-from-barrel-package": ["error", {
        packageNames: ["effect", "@effect/platform", "@effect/sql", "@effect/experimental"],
      }],
      "no-console": "error",
    },
  },
  {
    files: ["test/**/*.ts", "typetest/**/*.ts"],
    rules: { "@typescript-eslint/no-non-null-assertion": "off" },
  },
);
