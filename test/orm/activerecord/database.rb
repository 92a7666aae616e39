# The database of the PG* variables, and its migrations.

gem 'activerecord', '~> 6.1.7'
gem 'pg', '~> 1.4'

require 'active_record'
require 'pg'

module Database
  module_function

  # All connections made after this have the application name.
  def connect(application_name)
    ActiveRecord::Base.establish_connection(
      adapter: 'postgresql', application_name: application_name, pool: 10
    )
  end

  # The migrations of folders under db/, in the order of their versions.
  def migrations(*folders)
    ActiveRecord::Migration.verbose = false
    ActiveRecord::Migrator.migrations_paths =
      folders.map { |folder| File.join(__dir__, 'db', folder) }
    ActiveRecord::Base.connection.migration_context
  end
end
