# `ruby ruby.rb FRAMEWORK SERVER`: a Ruby framework on Puma or WEBrick, with the routes in the environment variable ROUTES,
# on a port that the system chooses. Each handler answers `served:` and the route's name.

require "json"
require "logger"

CONFIGURATION = JSON.parse(ENV.fetch("ROUTES"))
# Each route as `[name, path]`, with its parameters as `:name`.
ROUTES = CONFIGURATION["routes"].map { |name, path| [name, path.gsub(/\{(\w+)\}/, ':\1')] }

def sinatra(strict:)
  ENV["APP_ENV"] = "production"
  require "sinatra/base"
  application = Class.new(Sinatra::Base) do
    set :strict_paths, strict
    set :public_folder, CONFIGURATION["folder"]
    set :static, true
    ROUTES.each { |name, path| get(path) { "served:#{name};" } }
  end
  ["sinatra #{Sinatra::VERSION}", application.new]
end

# The router of Rails, in an application without its other parts. Without format suffixes.
def rails
  require "active_support"
  require "action_controller"
  routes = ActionDispatch::Routing::RouteSet.new
  routes.draw do
    ROUTES.each do |name, path|
      get path, format: false, to: ->(_) { [200, { "Content-Type" => "text/plain" }, ["served:#{name};"]] }
    end
  end
  ["rails #{ActionPack.version}", routes]
end

def rack_files
  require "rack"
  ["rack #{Rack.release}", Rack::Files.new(CONFIGURATION["folder"])]
end

FRAMEWORKS = {
  "sinatra" => -> { sinatra(strict: true) },
  "sinatra-lax" => -> { sinatra(strict: false) },
  "rails" => -> { rails },
  "rack-files" => -> { rack_files },
}.freeze

def announce(version, port)
  puts "version #{version}", "listens on 127.0.0.1:#{port}"
  $stdout.flush
end

def puma(version, application)
  require "puma"
  server = Puma::Server.new(application, Puma::Events.strings)
  listener = server.add_tcp_listener("127.0.0.1", 0)
  thread = server.run
  announce("#{version} puma #{Puma::Const::PUMA_VERSION}", listener.addr[1])
  thread.join
end

def webrick(version, application)
  require "rack"
  require "rack/handler/webrick"
  silent = { AccessLog: [], Logger: WEBrick::Log.new(File::NULL) }
  Rack::Handler::WEBrick.run(application, Host: "127.0.0.1", Port: 0, **silent) do |server|
    announce("#{version} webrick #{WEBrick::VERSION}", server.listeners[0].addr[1])
  end
end

version, application = FRAMEWORKS.fetch(ARGV[0]).call
ARGV[1] == "webrick" ? webrick(version, application) : puma(version, application)
