# The clinic with ActiveRecord: patients and their appointments.
#
# clinic.rb version | migrate | run

require_relative 'database'
require_relative 'models'
require_relative 'steps'

def version
  puts "ActiveRecord #{ActiveRecord.version}, pg #{PG::VERSION}, Ruby #{RUBY_VERSION}"
end

def migrate
  Database.connect('migrate')
  Database.migrations('migrate').migrate
end

def run
  Steps::ALL.each do |name|
    puts "step #{name}"
    Database.connect(name.to_s)
    Steps.public_send(name)
  end
end

$stdout.sync = true
case ARGV
when ['version'] then version
when ['migrate'] then migrate
when ['run'] then run
else abort 'usage: clinic.rb version | migrate | run'
end
