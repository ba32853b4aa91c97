<?php
// The router script of `php -S`, with the routes in the environment variable ROUTES. KIND chooses how the path is read.
// Each route answers `served:` and its name.

$configuration = json_decode(getenv("ROUTES"), true);
$kind = getenv("KIND");

/** The name of the route of a path; a parameter is any segment. */
function route(array $routes, string $path): ?string
{
    foreach ($routes as [$name, $template]) {
        $pattern = "~^" . preg_replace('/\{\w+\}/', "[^/]+", $template) . "$~D";
        if (preg_match($pattern, $path)) {
            return $name;
        }
    }
    return null;
}

function answer(?string $name): void
{
    if ($name === null) {
        http_response_code(404);
    }
    echo $name === null ? "" : "served:$name;";
}

if ($kind === "files") {
    // The server finds the file itself.
    return false;
}
set_include_path(getenv("PHP_PACKAGES"));
if ($kind === "symfony") {
    require "Symfony/Component/Routing/autoload.php";
    require "Symfony/Component/HttpFoundation/autoload.php";
    $collection = new Symfony\Component\Routing\RouteCollection();
    foreach ($configuration["routes"] as [$name, $path]) {
        $collection->add($name, new Symfony\Component\Routing\Route($path));
    }
    // As an application does whose front controller is the root's index.php.
    $_SERVER["SCRIPT_NAME"] = "/index.php";
    $_SERVER["SCRIPT_FILENAME"] = "index.php";
    $request = Symfony\Component\HttpFoundation\Request::createFromGlobals();
    $context = (new Symfony\Component\Routing\RequestContext())->fromRequest($request);
    $matcher = new Symfony\Component\Routing\Matcher\UrlMatcher($collection, $context);
    try {
        answer($matcher->matchRequest($request)["_route"]);
    } catch (Symfony\Component\Routing\Exception\ResourceNotFoundException) {
        answer(null);
    }
} elseif ($kind === "parse-url") {
    answer(route($configuration["routes"], (string) parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH)));
} elseif ($kind === "parse-url-decoded") {
    $path = (string) parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH);
    answer(route($configuration["routes"], urldecode($path)));
} else {
    // The server's own reading.
    answer(route($configuration["routes"], $_SERVER["SCRIPT_NAME"]));
}
