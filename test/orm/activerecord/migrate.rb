# The clinic's migrations and those after them, which attach and change its
# tables.
#
# migrate.rb VERSION        up or down to that version
# migrate.rb VERSION fake   forgets that any later one ran

require_relative 'database'

version, fake = ARGV
Database.connect('migrate')
if fake
  ActiveRecord::SchemaMigration.where('version > ?', version).delete_all
else
  Database.migrations('migrate', 'changing').migrate(Integer(version))
end
