// Builds src/index.js with the default settings of webpack, and fails if webpack reports anything.

const webpack = require("webpack");

webpack({ mode: "production", context: __dirname, entry: "./src/index.js", output: { path: `${__dirname}/dist` } }, (error, stats) => {
  if (error) throw error;
  const text = stats.toString({ all: false, errors: true, warnings: true });
  if (!text) return;
  console.error(text);
  process.exitCode = 1;
});
