// `node node.mjs KIND`: one of npm's frameworks, with the routes in the environment variable ROUTES, on a port that the
// system chooses. Each handler answers `served:` and the route's name.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(join(process.env.NODE_PACKAGES, "package.json"));
const { routes, folder } = JSON.parse(process.env.ROUTES);
const body = (name) => `served:${name};`;

/** The version of a package, whatever it exports. */
function version(name) {
  for (let at = dirname(require.resolve(name)); ; at = dirname(at)) {
    try {
      const found = JSON.parse(readFileSync(join(at, "package.json")));
      if (found.version) return found.version;
    } catch {
      // The package's root is higher up.
    }
  }
}

/** Each route as `[name, path]`, with its parameters as `:name`. */
const colons = routes.map(([name, path]) => [name, path.replaceAll(/\{(\w+)\}/g, ":$1")]);

function listen(handler, name) {
  const server = typeof handler === "function" ? createServer(handler) : handler;
  server.listen(0, "127.0.0.1", () => {
    console.log(`version ${name ? version(name) : process.versions.node}`);
    console.log(`listens on 127.0.0.1:${server.address().port}`);
  });
}

function express(name, options) {
  const module = require(name);
  const app = module();
  for (const [option, value] of Object.entries(options)) app.set(option, value);
  for (const [route, path] of colons) app.get(path, (request, response) => response.send(body(route)));
  app.use(module.static(folder));
  listen(app, name);
}

async function fastify(name, options) {
  const app = require(name)(options);
  for (const [route, path] of colons) app.get(path, (request, reply) => reply.send(body(route)));
  await app.ready();
  listen(app.server, name);
}

/** A router of the application's own, over the WHATWG URL's path. */
function own(pathOf) {
  listen((request, response) => {
    const found = exact(pathOf(request.url));
    response.statusCode = found ? 200 : 404;
    response.end(found ? body(found) : "");
  });
}

/** The route of a path; a parameter is any segment. */
function exact(path) {
  const pattern = (template) => new RegExp(`^${template.replaceAll(/\{\w+\}/g, "[^/]+")}$`);
  return routes.find(([, template]) => pattern(template).test(path))?.[0];
}

const kinds = {
  express4: () => express("express4", {}),
  express5: () => express("express", {}),
  "express5-strict": () => express("express", { "case sensitive routing": true, "strict routing": true }),
  fastify4: () => fastify("fastify4", {}),
  "fastify4-lax": () =>
    fastify("fastify4", { caseSensitive: false, ignoreTrailingSlash: true, ignoreDuplicateSlashes: true }),
  fastify5: () => fastify("fastify", {}),
  "fastify5-lax": () =>
    fastify("fastify", {
      routerOptions: {
        caseSensitive: false,
        ignoreTrailingSlash: true,
        ignoreDuplicateSlashes: true,
        useSemicolonDelimiter: true,
      },
    }),
  koa: () => {
    const Koa = require("koa");
    const { Router } = require("@koa/router");
    const router = new Router();
    for (const [route, path] of colons) router.get(path, (context) => (context.body = body(route)));
    const app = new Koa().use(router.routes());
    app.silent = true;
    listen(app.callback(), "koa");
  },
  hono: async () => {
    const { Hono } = require("hono");
    const { getRequestListener } = require("@hono/node-server");
    const app = new Hono();
    for (const [route, path] of colons) app.get(path, (context) => context.text(body(route)));
    listen(getRequestListener(app.fetch), "hono");
  },
  hapi: async () => {
    const server = require("@hapi/hapi").server({ host: "127.0.0.1", port: 0, router: { isCaseSensitive: false, stripTrailingSlash: true } });
    for (const [route, path] of routes) server.route({ method: "GET", path, handler: () => body(route) });
    await server.start();
    console.log(`version ${version("@hapi/hapi")}`);
    console.log(`listens on 127.0.0.1:${server.info.port}`);
  },
  polka: () => {
    const app = require("polka")();
    for (const [route, path] of colons) app.get(path, (request, response) => response.end(body(route)));
    listen((request, response) => app.handler(request, response), "polka");
  },
  h3: () => {
    const { H3, toNodeHandler } = require("h3");
    const app = new H3();
    for (const [route, path] of colons) app.get(path, () => body(route));
    listen(toNodeHandler(app), "h3");
  },
  connect: () => {
    // Middleware that is mounted at a path takes all below it; the longest is tried first.
    const app = require("connect")();
    const mounted = routes.filter(([, path]) => !path.includes("{")).sort((a, b) => b[1].length - a[1].length);
    for (const [route, path] of mounted) app.use(path, (request, response) => response.end(body(route)));
    listen(app, "connect");
  },
  sirv: () => listen(require("sirv")(folder), "sirv"),
  "serve-static": () => {
    const serve = require("serve-static")(folder);
    listen((request, response) => serve(request, response, () => response.writeHead(404).end()), "serve-static");
  },
  "node-url": () => own((url) => new URL(url, "http://test.example").pathname),
  "node-url-decoded": () =>
    own((url) => {
      try {
        return decodeURIComponent(new URL(url, "http://test.example").pathname);
      } catch {
        return "";
      }
    }),
  "node-url-parse": () => own((url) => require("node:url").parse(url).pathname ?? ""),
};

await kinds[process.argv[2]]();
