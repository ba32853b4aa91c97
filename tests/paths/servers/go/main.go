// `paths KIND`: Go's net/http or one of its routers, with the routes in the environment variable ROUTES, on a port that
// the system chooses. Each handler answers `served:` and the route's name.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi"
	"github.com/gorilla/mux"
	"github.com/julienschmidt/httprouter"
	"github.com/labstack/echo"
)

var configuration struct {
	Routes [][2]string
	Folder string
}

func answer(name string) http.HandlerFunc {
	return func(response http.ResponseWriter, _ *http.Request) { fmt.Fprintf(response, "served:%s;", name) }
}

// The path in the notation of routers that write a parameter as `:name`.
func colon(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// A handler for each path of ServeMux, which has no parameters before Go 1.22.
func serveMux(change func(string) string) http.Handler {
	served := http.NewServeMux()
	for _, route := range configuration.Routes {
		path, _, _ := strings.Cut(route[1], "{")
		served.Handle(change(path), answer(route[0]))
	}
	return served
}

func same(path string) string { return path }

// Ignores case, as an application does that folds the path before it routes.
func lower(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		request.URL.Path = strings.ToLower(request.URL.Path)
		handler.ServeHTTP(response, request)
	})
}

func withGin(set func(*gin.Engine)) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	set(engine)
	for _, route := range configuration.Routes {
		engine.GET(colon(route[1]), gin.WrapF(answer(route[0])))
	}
	return engine
}

var kinds = map[string]func() http.Handler{
	"net-http":       func() http.Handler { return serveMux(same) },
	"net-http-lower": func() http.Handler { return lower(serveMux(same)) },
	"net-http-files": func() http.Handler { return http.FileServer(http.Dir(configuration.Folder)) },
	"gin":            func() http.Handler { return withGin(func(*gin.Engine) {}) },
	"gin-raw": func() http.Handler {
		return withGin(func(engine *gin.Engine) { engine.UseRawPath, engine.RemoveExtraSlash = true, true })
	},
	"chi": func() http.Handler {
		router := chi.NewRouter()
		for _, route := range configuration.Routes {
			router.Get(route[1], answer(route[0]))
		}
		return router
	},
	"gorilla": func() http.Handler {
		router := mux.NewRouter()
		for _, route := range configuration.Routes {
			router.Handle(route[1], answer(route[0]))
		}
		return router
	},
	"gorilla-encoded": func() http.Handler {
		router := mux.NewRouter().UseEncodedPath().SkipClean(true)
		for _, route := range configuration.Routes {
			router.Handle(route[1], answer(route[0]))
		}
		return router
	},
	"httprouter": func() http.Handler {
		// It allows no parameter beside a fixed segment.
		router := httprouter.New()
		for _, route := range configuration.Routes {
			router.Handler("GET", colon(route[1]), answer(route[0]))
		}
		return router
	},
	"echo": func() http.Handler {
		router := echo.New()
		for _, route := range configuration.Routes {
			router.GET(colon(route[1]), echo.WrapHandler(answer(route[0])))
		}
		return router
	},
}

func main() {
	if err := json.Unmarshal([]byte(os.Getenv("ROUTES")), &configuration); err != nil {
		panic(err)
	}
	handler := kinds[os.Args[1]]()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("version %s\nlistens on %s\n", strings.TrimPrefix(runtime.Version(), "go"), listener.Addr())
	panic(http.Serve(listener, handler))
}
