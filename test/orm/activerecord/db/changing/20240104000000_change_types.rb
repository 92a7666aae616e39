# The types of published columns change; in the order in which writers take
# the tables, both ways.
class ChangeTypes < ActiveRecord::Migration[6.1]
  def up
    change_column :patients, :name, :string, limit: 300
    change_column :patients, :email, :string, limit: 254
    change_column :appointments, :status, :string, limit: 20
  end

  def down
    change_column :patients, :email, :text
    change_column :patients, :name, :text
    change_column :appointments, :status, :text
  end
end
